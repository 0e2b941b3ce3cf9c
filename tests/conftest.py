"""Fixtures of every test; each is defined where its noun is, in tests/support."""

pytest_plugins = [
    "tests.support.valkey",
    "tests.support.ledger",
    "tests.support.house",
    "tests.support.ingress",
    "tests.support.books",
    "tests.support.parts",
    "tests.support.receiver",
    "tests.support.office",
    "tests.support.slow_lane",
    "tests.support.witness",
    "tests.support.wire",
    "tests.support.proxy_fixtures",
]
