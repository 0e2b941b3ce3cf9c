"""The workers' Valkey: the connection, every command that changes state, the Lua scripts."""
