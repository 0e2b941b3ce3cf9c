"""What crosses a boundary: the HTTP interface and the recorded payloads."""
