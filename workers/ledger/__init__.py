"""The ledger: what became of the events, in SQL. SQLite and PostgreSQL hold the same tables and run the same statements."""
