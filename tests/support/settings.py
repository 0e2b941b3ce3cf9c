"""Settings that work in tests: every secret given, nothing read from the environment."""

from schemas.settings import Settings, load

CLIENT_ID = "connect-test"
CLIENT_SECRET = "the client secret of the tests"
SIGNING_KEY = "the key that signs the tokens of the tests"
AFOSTO_SECRET = "the shared secret of the tests"
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


def environment_for_tests(**environment: str) -> dict[str, str]:
    """Environment variables by name, over those that every test needs. For a process that a test starts."""
    return {
        "REDIS_URL": NOBODY_LISTENS,
        "DATABASE_URL": "sqlite:///:memory:",
        "INSTACART_CLIENT_ID": CLIENT_ID,
        "INSTACART_CLIENT_SECRET": CLIENT_SECRET,
        "TOKEN_SIGNING_KEYS": SIGNING_KEY,
        "AFOSTO_SECRETS": AFOSTO_SECRET,
    } | environment


def make_settings(**environment: str) -> Settings:
    """Settings as read from these environment variables: `make_settings(REDIS_URL=valkey_url, MAX_BODY_BYTES="1KiB")`."""
    return load(environment_for_tests(**environment))
