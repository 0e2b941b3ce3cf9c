"""Addresses with secrets masked, and addresses that are refused because client libraries parse them differently."""

import pytest

from schemas.settings.addresses import MASK, is_readable, masked_addresses, shown


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:pw@localhost:6379/0", "redis://:***@localhost:6379/0"),
        ("rediss://me:p%40w@[::1]:6380/7?ssl_cert_reqs=none", "rediss://me:***@[::1]:6380/7?***"),
        ("redis://pw@localhost", "redis://***@localhost"),
        ("redis://pw:@localhost", "redis://***@localhost"),
        ("redis://:a@h1:1/0;redis://:b@h2:2/1", "redis://:***@h1:1/0;redis://:***@h2:2/1"),
        ("sentinel://:a@h1:1,h2:2/0", "sentinel://:***@h1:1,h2:2/0"),
        ("sentinel://:a@h1:26379;sentinel://:b@h2:26379", "sentinel://:***@h1:26379;sentinel://:***@h2:26379"),
        ("amqp://guest:pw@rabbit//", "amqp://guest:***@rabbit//"),
        ("sqs://AKID:pw@", "sqs://AKID:***@"),
        ("postgresql://me@db/curbside", "postgresql://me@db/curbside"),
        ("postgresql://me:pw@db:5432/curbside?password=pw", "postgresql://me:***@db:5432/curbside?***"),
        ("sqlite:////var/lib/my data/ledger.db", "sqlite:////var/lib/my data/ledger.db"),
        ("memory://", "memory://"),
    ],
)
def test_an_address_is_shown_without_its_password_and_parameters(address: str, expected: str) -> None:
    assert masked_addresses(address) == expected


@pytest.mark.parametrize(
    "text",
    [
        "pw",
        "redis:pw@host",
        "redis://:pw",
        "redis://:12345",
        "redis://:p/w@host/0",
        "redis://:12/w@host/0",
        "redis://:p?w@host",
        "redis://:p#w@host",
        "redis://:p@w@host",
        "redis://:a@h1;b@h2",
        "redis://:a@h1/0,redis://:b@h2/0",
        "redis://:a@h1/0 redis://:b@h2/0",
        "redis://h1/0;pw",
        "sentinel://:a@h1:1,:b@h2:2",
        "postgresql://me:p/w@db/x",
        "postgresql://db/x;password=pw",
        "redis://[::1",
        "",
    ],
)
def test_an_unparsable_address_is_masked_whole(text: str) -> None:
    assert masked_addresses(text) == MASK


def test_a_value_that_should_hold_no_secret_is_shown_unless_it_looks_like_an_address() -> None:
    assert [shown(each) for each in ("eighty", "shop.loyalty", "redis://:pw@h", "me:pw@h")] == [
        "eighty",
        "shop.loyalty",
        "redis://:***@h",
        MASK,
    ]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://:p@w@host/0", True),
        ("redis://:p%2Fw@host/0", True),
        ("redis:///1", True),
        ("sqs://AKID:pw@", True),
        ("redis://:p/w@host/0", False),
        ("redis://:12/w@host/0", False),
        ("redis://:12?w@host/0", False),
        ("redis://:p#w@host/0", False),
        ("redis://:12#w@host/0", False),
        ("redis://[::1", False),
        ("redis://:\u2100@host", False),
        ("redis://host:99999", False),
    ],
)
def test_an_address_is_readable_if_nothing_of_its_password_is_read_as_something_else(address: str, expected: bool) -> None:
    assert is_readable(address) is expected
