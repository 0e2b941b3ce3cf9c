"""The ledger: the effects of events, in SQL. SQLite and PostgreSQL have the same tables and run the same statements."""
