"""Settings for tests, with every secret given and nothing read from the environment; free ports on loopback."""

import socket

from schemas.settings import Settings, load

CLIENT_ID = "connect-test"
CLIENT_SECRET = "the client secret of the tests"
SIGNING_KEY = "the key that signs the tokens of the tests"
AFOSTO_SECRET = "the shared secret of the tests"
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


def environment_for_tests(**environment: str) -> dict[str, str]:
    """Environment variables of a process that a test starts: these, over those that every test needs."""
    return {
        "REDIS_URL": NOBODY_LISTENS,
        "DATABASE_URL": "sqlite:///:memory:",
        "INSTACART_CLIENT_ID": CLIENT_ID,
        "INSTACART_CLIENT_SECRET": CLIENT_SECRET,
        "TOKEN_SIGNING_KEYS": SIGNING_KEY,
        "AFOSTO_SECRETS": AFOSTO_SECRET,
        "ALERT_MAX_AGE": "0",  # recorded bodies are old
    } | environment


def make_settings(**environment: str) -> Settings:
    """Load settings from these environment variables: `make_settings(REDIS_URL=valkey_url, MAX_BODY_BYTES="1KiB")`."""
    return load(environment_for_tests(**environment))


LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A TCP port on loopback on which nothing listens now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
