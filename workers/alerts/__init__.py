"""Sends alerts from the outbox to the channels."""
