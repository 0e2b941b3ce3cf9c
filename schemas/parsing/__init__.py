"""Parsers of texts, durations, times and scalars, of bodies that are nearly JSON, and of documents in another form."""
