"""Pure code, and one part at a time."""
