"""Attacks of clients without a token on an ingress, for long. `make strangers ARGS=--help`."""
