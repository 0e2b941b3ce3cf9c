"""Handlers of a user's own, as the README shows them."""
