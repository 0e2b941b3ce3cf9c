"""Flower as operators get it: stock Flower with a Retry button, and a view of the record of failures. `config.py` says how it starts."""
