"""Failed events: the failure records, the retry policies, and what may be shown of an error."""
