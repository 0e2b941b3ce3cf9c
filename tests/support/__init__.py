"""What tests stand on: real servers and fakes, settings, waiting, and the check that a test leaves the house clean."""
