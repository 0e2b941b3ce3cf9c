"""Secrets in settings: a guessable secret stops the start, and no message shows one."""

import base64
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.settings import SettingError, Settings, load
from schemas.settings.secrets import Secret, endpoint_id, endpoint_secret, secret
from tests.support.command_line import curbside
from tests.support.settings import environment_for_tests, make_settings

UUID = "0d5d7a0e-52c1-4f43-9a35-3c2a9a1f7b10"
SPELLINGS = [
    UUID,
    UUID.upper(),
    f"{{{UUID}}}",
    f"urn:uuid:{UUID}",
    f"URN:UUID:{UUID.upper()}",
    UUID.replace("-", ""),
    f" {UUID} ",
]
LONG = "a long enough secret"
BASE64 = base64.b64encode(b"a key of 32 bytes, as they come!").decode()


def complaint(**environment: str) -> str:
    """The only line of the error."""
    with pytest.raises(SettingError) as refused:
        make_settings(**environment)
    (line,) = str(refused.value).splitlines()
    return line


def afosto(text: str) -> tuple[Secret, ...]:
    return make_settings(AFOSTO_SECRETS=text).credentials["afosto"].secrets


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_endpoint_without_a_secret_is_named_and_stops_the_start(spelling: str) -> None:
    said = complaint(AFOSTO_SECRETS=f"{LONG},{spelling}=")
    assert said == f"AFOSTO_SECRETS is wrong: no secret is behind the = of endpoint {UUID} (value 2 of 2)"
    assert afosto(f"{spelling}={LONG}") == (Secret(LONG, UUID),)


@pytest.mark.parametrize(
    "label", ["shop-a", "SHOP-A", "a", "the-shop-of-the-northern-quarter", "shop 1", "hooks.example.com/a"]
)
def test_a_label_without_a_secret_is_no_secret_itself(label: str) -> None:
    assert "no secret is behind the =, and what is before it is no endpoint's UUID" in complaint(AFOSTO_SECRETS=f"{label}=")


@pytest.mark.parametrize(
    "text", [BASE64, "c2VjcmV0c2VjcmV0MQ==", "kVq7S0dZr1xV9Qm4Ls=", "a=b=c=d=e=f=g=h=i", "P4ss=word,with"[:9] * 2]
)
def test_a_secret_may_hold_and_end_in_equals_signs(text: str) -> None:
    assert afosto(text) == (Secret(text),)
    assert afosto(f"{UUID}={text}") == (Secret(text, UUID),)


SHORT = [
    ("INSTACART_CLIENT_SECRET", "x"),
    ("INSTACART_CLIENT_SECRET", f"{LONG},fifteen letters"),
    ("AFOSTO_SECRETS", "x"),
    ("AFOSTO_SECRETS", f"{UUID}=fifteen letters"),
    ("FLOWER_BASIC_AUTH", "operator:fifteen letters"),
    ("FLOWER_BASIC_AUTH", f"operator:{LONG},other:x"),
    ("CURBSIDE_VALKEY_PASSWORD", "fifteen letters"),
]


@pytest.mark.parametrize(("name", "text"), SHORT)
def test_every_secret_has_at_least_sixteen_characters(name: str, text: str) -> None:
    said = complaint(**{name: text})
    assert said.startswith(f"{name} is wrong: expected at least 16 characters for every ")
    assert "fifteen" not in said
    assert ("endpoint" not in text and UUID not in text) or UUID in said
    assert make_settings(**{name: text.replace("fifteen letters", "sixteen letters!").replace("x", LONG)})


@pytest.mark.parametrize("name", ["INSTACART_CLIENT_SECRET", "AFOSTO_SECRETS", "TOKEN_SIGNING_KEYS"])
def test_white_space_around_a_secret_is_stripped_and_invisible_characters_are_refused(name: str) -> None:
    text = "a secret that is long enough for all"
    assert make_settings(**{name: f" {text}\t\n"}) == make_settings(**{name: text}) == make_settings(**{name: f",{text} ,"})
    for left, right in ('""', "''", "“”", "„“", "‘’", "``"):
        assert complaint(**{name: f"{left}{text}{right}"}) == f"{name} is wrong: quotes are around it: leave them away"
        assert "quotes" in complaint(**{name: f"{left}{text},{text}{right}"})
    for unseen in ("\u200b", "\ufeff", "\u00ad", "\u2028", "\x00", "\x1b", "\u00a0", "\udcff", "\n"):
        assert "an invisible character is in it" in complaint(**{name: f"{text[:9]}{unseen}{text[9:]}"})


def test_a_password_that_others_read_too_is_taken_as_it_is() -> None:
    for name in ("CURBSIDE_VALKEY_PASSWORD", "FLOWER_BASIC_AUTH"):
        assert complaint(**{name: f" operator:{LONG}"}) == f"{name} is wrong: white space is around it"
    assert complaint(FLOWER_BASIC_AUTH=LONG) == "FLOWER_BASIC_AUTH is wrong: expected user:password"
    assert make_settings(FLOWER_BASIC_AUTH=f"a:{LONG},b:{LONG}").flower_basic_auth == f"a:{LONG},b:{LONG}"


@pytest.mark.parametrize(("size", "taken"), [(0, False), (16, False), (23, False), (24, True), (64, True), (65, False)])
def test_the_key_of_our_own_webhooks_has_the_length_of_its_standard(size: int, taken: bool) -> None:
    text = f"whsec_{base64.b64encode(bytes(range(size))).decode()}"
    if taken:
        assert make_settings(ALERT_WEBHOOK_SECRET=text).alert_webhook_secret == text
        assert make_settings(ALERT_WEBHOOK_SECRET=text.removeprefix("whsec_").rstrip("="))
    else:
        assert f"expected a key of 24 to 64 bytes, which are 32 to 88 characters of Base64, got {size}" in complaint(
            ALERT_WEBHOOK_SECRET=text
        )


@pytest.mark.parametrize("text", ["whsec_not-base64-but-long-enough_", "whsec_ümlaut"])
def test_a_key_that_is_no_base64_is_refused(text: str) -> None:
    assert "expected whsec_ and Base64" in complaint(ALERT_WEBHOOK_SECRET=text)


def test_the_printed_form_of_settings_shows_no_secret_of_a_provider() -> None:
    settings: Settings = make_settings(AFOSTO_SECRETS=f"{UUID}={LONG}")
    assert LONG not in repr(settings)


@given(st.text(min_size=1, max_size=40))
def test_property_what_is_taken_is_long_enough_and_never_an_endpoint_with_nothing(text: str) -> None:
    try:
        taken = endpoint_secret(text)
    except ValueError:
        return
    assert len(taken.text) >= 16
    assert endpoint_id(taken.text.rstrip("= ")) is None or not taken.text.endswith("=")


@given(st.uuids())
def test_property_every_usual_spelling_of_a_uuid_is_the_same_endpoint(name: uuid.UUID) -> None:
    for spelling in (str(name), name.urn, name.hex, f"{{{name}}}", str(name).upper()):
        assert endpoint_id(spelling) == str(name)
        assert endpoint_secret(f"{spelling}={LONG}") == Secret(secret(LONG), str(name))


def test_a_process_reports_it_and_does_not_start() -> None:
    said = curbside("ingress", environment=environment_for_tests(AFOSTO_SECRETS=f"{UUID}="))
    assert (said.exit_code, said.errors) == (2, f"AFOSTO_SECRETS is wrong: no secret is behind the = of endpoint {UUID}\n")


def test_every_variable_of_a_provider_is_listed_and_masked() -> None:
    said = curbside("settings", "--json", environment=environment_for_tests(AFOSTO_SECRETS=LONG))
    rows = {row["name"]: row["value"] for row in json.loads(said.output)}
    assert (rows["INSTACART_CLIENT_ID"], rows["INSTACART_CLIENT_SECRET"], rows["AFOSTO_SECRETS"]) == (
        "connect-test",
        "***",
        "***",
    )
    assert LONG not in said.output


def test_what_is_missing_names_every_variable() -> None:
    with pytest.raises(SettingError) as refused:
        load({})
    assert {"INSTACART_CLIENT_ID", "INSTACART_CLIENT_SECRET", "AFOSTO_SECRETS"} <= {
        line.split()[0] for line in str(refused.value).splitlines()
    }
