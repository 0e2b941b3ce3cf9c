"""Names of SQLAlchemy execution options by which the ledger says what a transaction is for."""

READS_ONLY = "curbside_reads_only"
"""It only reads: on SQLite it waits for no writer."""
QUICK = "curbside_quick"
"""It waits for a lock only briefly."""
ERRORS = "curbside_errors"
"""A list that gets every database error of the transaction, also those that a handler catches."""
