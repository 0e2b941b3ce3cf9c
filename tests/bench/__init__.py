"""`python -m tests.bench`: Curbside beside its rivals and its own limits, measured in one interleaved run."""
