"""Decode, deduplicate, fan out, apply: what becomes of an event after its acknowledgement."""
