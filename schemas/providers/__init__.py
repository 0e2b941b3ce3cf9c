"""The providers' wire models, and how a body of each becomes an `Event`."""
