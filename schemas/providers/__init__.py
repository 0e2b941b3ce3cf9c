"""The wire models of the providers, and the decoding of their bodies into an `Event`."""
