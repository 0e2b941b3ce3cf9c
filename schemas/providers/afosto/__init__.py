"""Afosto's webhooks."""
