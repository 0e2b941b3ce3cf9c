"""`SECURITY.md`: complete for every secret that there is, and its recipes for changing one are right, run step by step."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import redis

from deploy.generated import generate_missing, path_in, read_generated
from schemas.contracts import BUILT_IN
from schemas.settings import DECLARED
from schemas.settings.credentials import variables_of
from tests.support.ingress_client import running_ingress, signed
from tests.support.settings import CLIENT_ID, CLIENT_SECRET, make_settings
from tests.support.valkey_servers import RealValkey
from workers.valkey.connection import connect

TEXT = (Path(__file__).parents[2] / "SECURITY.md").read_text()
OLD, NEW = "the old secret and enough characters of it", "the new secret and enough characters of it"
ENDPOINT = "0d5d7a0e-52c1-4f43-9a35-3c2a9a1f7b10"


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 120
    assert max(map(len, TEXT.splitlines())) <= 120


@pytest.mark.parametrize("section", ["What each secret opens", "Changing a secret"])
def test_no_secret_is_left_out(section: str) -> None:
    (part,) = [each for each in TEXT.split("\n## ") if each.startswith(section)]
    named = {each.metadata["name"] for each in DECLARED if each.metadata["secret"]}
    credentials = [each for name, contract in BUILT_IN.items() for each in variables_of(name, contract.proof)]
    named |= {each.name for each in credentials if each.is_secret}
    missing = {name for name in named if f"`{name}`" not in part}
    assert missing <= ({"ALERT_WEBHOOK_URL"} if section == "Changing a secret" else set())


@contextmanager
def ingresses(valkey_url: str, variable: str, *values: str) -> Iterator[list[httpx.Client]]:
    """One ingress for each value, side by side, as while processes are restarted one after the other."""
    with ExitStack() as stack:
        urls = [
            stack.enter_context(running_ingress(make_settings(REDIS_URL=valkey_url, **{variable: each}))) for each in values
        ]
        yield [stack.enter_context(httpx.Client(base_url=url, timeout=30)) for url in urls]


def token_of(client: httpx.Client, secret: str = CLIENT_SECRET) -> str:
    """A token, or nothing if the client was refused."""
    form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": secret}
    return str(client.post("/oauth/token", data=form).json().get("access_token", ""))


def is_open(client: httpx.Client, token: str) -> bool:
    return client.post("/webhook", content=b"{}", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_signing_key_is_changed_without_a_refusal_while_processes_restart_one_by_one(
    valkey_url: str,
) -> None:
    steps = [OLD, f"{OLD},{NEW}", f"{NEW},{OLD}", NEW]
    with ingresses(valkey_url, "TOKEN_SIGNING_KEYS", *steps) as clients:
        tokens = [token_of(client) for client in clients]
        for earlier, later in ((0, 1), (1, 2), (2, 3)):
            assert is_open(clients[later], tokens[earlier])
            assert is_open(clients[earlier], tokens[later])
        assert not is_open(clients[3], tokens[1]), "which is why TOKEN_TTL is waited for"
        assert not is_open(clients[0], tokens[2]), "which is why the new key goes to the end first"


def test_a_client_secret_is_changed_without_a_refusal(valkey_url: str) -> None:
    with ingresses(valkey_url, "INSTACART_CLIENT_SECRET", OLD, f"{NEW},{OLD}", NEW) as clients:
        assert [[bool(token_of(client, secret)) for secret in (OLD, NEW)] for client in clients] == [
            [True, False],
            [True, True],
            [False, True],
        ]


def test_an_endpoint_s_secret_is_changed_without_a_refusal(valkey_url: str) -> None:
    old, new = f"{ENDPOINT}={OLD}", f"{ENDPOINT}={NEW}"
    with ingresses(valkey_url, "AFOSTO_SECRETS", old, f"{old},{new}", new) as clients:
        answers = [
            [
                client.post("/webhook/afosto", content=b"{}", headers=signed(b"{}", secret) | {"X-Afosto-Endpoint": ENDPOINT})
                for secret in (OLD, NEW)
            ]
            for client in clients
        ]
    assert [[answer.status_code for answer in pair] for pair in answers] == [[200, 401], [200, 200], [401, 200]]


def test_valkey_s_password_is_changed_while_both_are_valid(real_valkey: RealValkey) -> None:
    def opens(password: str) -> bool:
        client = connect(f"redis://curbside:{password}@127.0.0.1:{real_valkey.port}/0")
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False
        finally:
            client.close()

    with redis.Redis.from_url(real_valkey.url) as admin:
        try:
            seen = []
            admin.execute_command("ACL", "SETUSER", "curbside", "on", ">old", "~*", "&*", "+@all")
            for change in (">new", "<old"):
                admin.execute_command("ACL", "SETUSER", "curbside", change)
                seen.append([opens("old"), opens("new")])
        finally:
            admin.execute_command("ACL", "DELUSER", "curbside")
    assert seen == [[True, True], [False, True]]


def test_the_embedded_valkey_s_password_is_made_anew_when_its_line_is_deleted(tmp_path: Path) -> None:
    environment = {"CURBSIDE_DATA_DIR": str(tmp_path)}
    generate_missing(environment)
    before, path = read_generated(path_in(environment)), path_in(environment)
    lines = [line for line in path.read_text().splitlines() if not line.startswith("CURBSIDE_VALKEY_PASSWORD=")]
    path.write_text("\n".join(lines) + "\n")
    assert generate_missing(environment) == ["CURBSIDE_VALKEY_PASSWORD"]
    changed = {name for name, value in read_generated(path).items() if before[name] != value}
    assert changed == {"CURBSIDE_VALKEY_PASSWORD"}
