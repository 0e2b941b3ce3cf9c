"""Tests that kill, under load, and check the promises afterwards."""
