"""Lua scripts, each one atomic step in Valkey. See `workers.store`."""
