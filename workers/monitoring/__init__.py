"""Reads the state of a deployment, and changes nothing."""
