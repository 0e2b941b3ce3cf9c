"""What happens to an event that failed: the record, the retry policy, what may be shown of the error."""
