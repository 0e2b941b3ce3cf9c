"""The built-in handlers, one file each. See `workers.handler` for what a handler is and how a user adds one."""
