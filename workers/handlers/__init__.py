"""The built-in handlers, one file each. `workers.handler` documents the handler API."""
