"""On which addresses Flower may listen, and which requests need a login."""

import base64
from typing import Any

import flower.urls
import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.options import OptionParser

from deploy.flower.access import guard_access, is_loopback
from deploy.flower.guard import HEADERS, Guard, credential_digest
from tests.support.settings import make_settings

ANYWHERE = "0.0.0.0"  # noqa: S104 - never bound: it is refused, or only read
PASSWORD = "operator:the password"


@pytest.fixture(autouse=True)
def _keeps_flowers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("transforms", "xsrf_cookie_kwargs"):
        monkeypatch.setitem(flower.urls.settings, name, None)


def options(*command_line: str, **environment: str) -> Any:
    """The Tornado options of Flower that matter here, read as Flower does: command-line options override our file."""
    parser = OptionParser()
    parser.define("address", default="", type=str)
    parser.define("unix_socket", default="", type=str)
    for name in ("auth", "certfile", "keyfile"):
        parser.define(name, default="", type=str)
    parser.define("basic_auth", type=str, default=None, multiple=True)
    parser.parse_command_line(["flower", *command_line])
    guard_access(parser, make_settings(**environment))
    parser.parse_command_line(["flower", *command_line])
    return parser


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "127.1", "::1", "::ffff:127.0.0.1", "localhost"])
def test_only_this_machine_reaches_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address", [ANYWHERE, "0", "::", "::ffff:0.0.0.0", "192.0.2.1", "2001:db8::1", "no-such-host.invalid", "a" * 70]
)
def test_others_reach_whatever_is_no_loopback_address(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("given", "environment", "address"),
    [
        ([], {}, "127.0.0.1"),
        (["--address="], {}, "127.0.0.1"),
        (["--address=::1"], {}, "::1"),
        ([], {"CURBSIDE_HOST": "localhost"}, "localhost"),
        (["--unix_socket=/run/flower"], {"CURBSIDE_HOST": ANYWHERE}, ANYWHERE),
        ([f"--address={ANYWHERE}", f"--basic_auth={PASSWORD}"], {}, ANYWHERE),
        ([f"--address={ANYWHERE}", "--auth=me@example.com"], {}, ANYWHERE),
    ],
)
def test_flower_listens_on_loopback_by_default_and_elsewhere_with_a_login(
    given: list[str], environment: dict[str, str], address: str
) -> None:
    assert options(*given, **environment).address == address


@pytest.mark.parametrize(
    ("given", "environment"),
    [
        ([f"--address={ANYWHERE}"], {}),
        (["--address=::"], {}),
        ([f"--address={ANYWHERE}", "--basic_auth="], {}),
        ([], {"CURBSIDE_HOST": ANYWHERE}),
    ],
)
def test_flower_does_not_start_off_loopback_without_a_login(given: list[str], environment: dict[str, str]) -> None:
    with pytest.raises(SystemExit, match="set FLOWER_BASIC_AUTH"):
        options(*given, **environment)


@pytest.mark.parametrize("credentials", ["s3cret", "user:", ":s3cret", "user:s3cret,with comma", "user:s3cret,user2:"])
def test_a_login_without_user_or_password_is_refused_and_not_shown(credentials: str) -> None:
    with pytest.raises(SystemExit, match="expected user:password") as refused:
        options(f"--basic_auth={credentials}")
    assert "s3cret" not in str(refused.value)


def guarded(authorization: str | None, *, requires_login: bool = True) -> tuple[str | None, Guard]:
    """The header that Flower gets to see, and the guard."""
    headers = HTTPHeaders({"Host": "flower"} | ({} if authorization is None else {"Authorization": authorization}))
    request = HTTPServerRequest(start_line=RequestStartLine("GET", "/", "HTTP/1.1"), headers=headers)
    guard = Guard(request, requires_login=requires_login)
    return request.headers.get("Authorization"), guard


def encoded(text: bytes) -> str:
    return base64.b64encode(text).decode()


@pytest.mark.parametrize("credentials", ["operator:pw", "øperatør:naïve 漢字 🛒", "a:b:c"])
@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC "])
def test_credentials_of_any_script_are_what_the_options_hold(credentials: str, scheme: str) -> None:
    held = options(f"--basic_auth={credentials}").basic_auth
    seen, _ = guarded(f"{scheme} {encoded(credentials.encode())}")
    assert seen == f"Basic {encoded(held[0].encode())}"
    assert held[0].isascii()
    assert credentials not in repr(held)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ",
        "Basic ====",
        "Basic \x80\xff",
        "Basic abc",
        "Bearer abc",
        f"Basic {encoded(b'')}",
        f"Digest {encoded(PASSWORD.encode())}",
        f"Basic {encoded(PASSWORD.encode())} x",
        "Basic \xe9b3BlcmF0b3I6cHc=",
    ],
)
def test_an_unreadable_authorization_header_is_refused(authorization: str) -> None:
    assert guarded(authorization)[0] == "Basic"


def test_the_stored_hash_is_not_a_password() -> None:
    seen, _ = guarded(f"Basic {encoded(credential_digest(PASSWORD.encode()).encode())}")
    assert seen != f"Basic {encoded(credential_digest(PASSWORD.encode()).encode())}"


def test_without_a_password_to_ask_for_the_header_is_left_alone() -> None:
    assert guarded("Bearer abc", requires_login=False)[0] == "Bearer abc"
    assert guarded(None)[0] is None


@pytest.mark.parametrize("status", [200, 304, 401, 500])
def test_every_answer_has_the_headers_and_a_401_asks(status: int) -> None:
    _, guard = guarded(None)
    _, headers, _ = guard.transform_first_chunk(status, HTTPHeaders({"X-Frame-Options": "SAMEORIGIN"}), b"", True)
    assert HEADERS.items() <= dict(headers.get_all()).items()
    assert ("WWW-Authenticate" in headers) == (status == 401)
    _, open_guard = guarded(None, requires_login=False)
    assert "WWW-Authenticate" not in open_guard.transform_first_chunk(status, HTTPHeaders(), b"", True)[1]


@pytest.mark.parametrize(("given", "secure"), [([], False), (["--certfile=a", "--keyfile=b"], True)])
def test_the_cookie_that_scripts_read_is_for_this_site_alone(given: list[str], secure: bool) -> None:
    options(*given)
    assert flower.urls.settings["xsrf_cookie_kwargs"] == {"samesite": "Lax", "secure": secure}
