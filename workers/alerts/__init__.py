"""Sending alerts: from the outbox to a channel."""
