"""Instacart Connect's event callbacks."""
