"""Parsers of texts, durations, times, and of fields that nothing depends on."""
