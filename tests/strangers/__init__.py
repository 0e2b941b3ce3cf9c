"""Strangers: what the ingress has to bear from clients without a key, at length. `make strangers ARGS=--help`."""
