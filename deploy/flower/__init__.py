"""Stock Flower with Retry buttons and a page of all failures on record. `config.py` shows how to start it."""
