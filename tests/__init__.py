"""unit: pure code. contract: what crosses a boundary. e2e: the whole path. chaos: kill and count. bench: measure."""
