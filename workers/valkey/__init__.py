"""The workers' access to Valkey: the connection, every command that changes state, the Lua scripts."""
