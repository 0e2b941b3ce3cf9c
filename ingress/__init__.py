"""The HTTP ingress: authenticates a provider's POST, appends its body to the inbox, answers once it is on disk.

It never parses a body.
"""
