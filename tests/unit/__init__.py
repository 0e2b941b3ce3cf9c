"""Pure code, and single components."""
