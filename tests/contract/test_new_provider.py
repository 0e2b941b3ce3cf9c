"""A third provider as a user adds one: a folder with its module, two settings, and the installed `curbside` started in it.

Nothing of ours is changed for it: it has an address, is authenticated, decoded, deduplicated, watched for drift and published.
"""

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from openapi_spec_validator import validate

from ingress.bearer import issue
from schemas.drift import DriftKind
from schemas.failures import Reason
from tests.support.command_line import REPOSITORY, CommandResult
from tests.support.event_sums import failures, sums
from tests.support.ingress_client import stored
from tests.support.live_deployment import Program
from tests.support.settings import CLIENT_ID, LOOPBACK, SIGNING_KEY, environment_for_tests, free_port
from tests.support.waiting import wait_for
from workers.contract_drift import read_drift

CURBSIDE = str(Path(sys.executable).with_name("curbside"))
OLD, NEW = "the old secret of the toy shop", "the new secret of the toy shop"
PLACED = {"id": "n-1", "type": "order.placed", "order": "toy-7", "at": "2026-03-02T08:00:00Z"}


def notice(**fields: Any) -> bytes:
    return json.dumps({**PLACED, **fields}).encode()


def signed(body: bytes, secret: str = NEW) -> dict[str, str]:
    return {"X-Toyshop-Signature": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


class User:
    """A folder with `toyshop.py` in it, and commands that are run there, with nothing of the checkout on the path."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.port = folder, free_port()
        shutil.copy(REPOSITORY / "tests" / "examples" / "toyshop.py", folder)
        self.environment = {
            "PROVIDER_MODULES": "toyshop",
            "TOYSHOP_SECRETS": f"{OLD},{NEW}",
            "CURBSIDE_PORT": str(self.port),
            "DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}",
            **environment,
        }
        self.url = f"http://{LOOPBACK}:{self.port}"

    def runs(self, *arguments: str, given: str = "", **environment: str) -> CommandResult:
        """Run a command to its end."""
        known = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        done = subprocess.run(
            [CURBSIDE, *arguments],
            env=known | environment_for_tests(**(self.environment | environment)),
            cwd=self.folder,
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return CommandResult(done.returncode, done.stdout, done.stderr)

    def starts(self, *arguments: str) -> Program:
        """Start a command that runs until it is stopped."""
        program = Program([CURBSIDE, *arguments], self.environment, self.folder / f"{arguments[0]}.log", self.folder)
        program.start()
        return program


@pytest.fixture
def user(tmp_path: Path, real_valkey_url: str) -> User:
    return User(tmp_path, REDIS_URL=real_valkey_url)


@pytest.fixture
def running(user: User) -> Iterator[User]:
    programs = [user.starts("ingress"), user.starts("worker", "-n", "toys@test")]
    try:
        wait_for(lambda: answers(user, programs[0]), 30, "the ingress to be ready")
        wait_for(lambda: "toys@test ready." in programs[1].log, 30, "the worker to be ready")
        yield user
        for each in programs:
            each.terminate()
        for each in programs:
            each.wait()
    finally:
        for each in programs:
            each.discard()


def answers(user: User, ingress: Program) -> bool:
    assert ingress.is_running, ingress.log
    try:
        return httpx.get(f"{user.url}/readyz").is_success
    except httpx.TransportError:
        return False


def test_a_provider_added_by_the_recipe_works(running: User, real_valkey_url: str) -> None:
    address = f"{running.url}/webhook/toyshop"
    bodies = [
        notice(colour="red"),
        notice(),
        notice(id="n-2", type="order.arrived", at="2026-03-02T09:00:00Z"),
        notice(id="n-3", type="order.hugged"),
    ]
    for body, secret in zip(bodies, (OLD, NEW, NEW, NEW), strict=True):
        assert httpx.post(address, content=body, headers=signed(body, secret)).status_code == 200
    sent = running.runs("send", "--provider", "toyshop", "-", given=notice(id="n-4", order="toy-8").decode())
    assert sent.exit_code == 0, sent.errors
    wrong = notice(id="n-5", order=7)
    assert httpx.post(address, content=wrong, headers=signed(wrong)).status_code == 200

    refused(address, real_valkey_url, accepted=6)

    with redis.Redis.from_url(real_valkey_url) as valkey:
        wait_for(lambda: sums(valkey).is_settled, 30, "all events to be handled")
        assert (sums(valkey).counters["routed"], sums(valkey).counters["duplicate"]) == (4, 1)
        (failure,) = failures(valkey).values()
        assert (failure.reason, failure.message) == (Reason.WRONG_TYPE, "$.order: expected string, got integer")
        wait_for(
            lambda: drift(valkey) == {(DriftKind.UNKNOWN_FIELD, "$.colour"), (DriftKind.UNKNOWN_EVENT, "$")},
            30,
            "its drift to be seen",
        )
    looks(running)


def drift(valkey: "redis.Redis") -> set[tuple[DriftKind, str]]:
    return {(each.finding.what, each.finding.path) for each in read_drift(valkey) if each.finding.provider == "toyshop"}


def refused(address: str, valkey_url: str, accepted: int) -> None:
    """Nobody else gets in: not without a signature, not with a wrong one, not with another provider's token or signature."""
    body = notice(id="n-9")
    token = {"Authorization": f"Bearer {issue(SIGNING_KEY, CLIENT_ID, time.time(), timedelta(hours=1), None, None)}"}
    for headers in (
        {},
        signed(body, "another secret altogether"),
        signed(body + b" "),
        token,
        {"X-Afosto-Hmac-Sha256": "0" * 64},
    ):
        answer = httpx.post(address, content=body, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'HMAC-SHA256 header="X-Toyshop-Signature"'
    instacart = address.replace("toyshop", "instacart")
    assert httpx.post(instacart, content=body, headers=signed(body)).status_code == 401
    assert "toyshop" in httpx.post(address.replace("toyshop", "nobody"), content=b"{}").json()["detail"]
    assert len(stored(valkey_url)) == accepted


def looks(user: User) -> None:
    """The pages and commands of operators show the provider."""
    traced = user.runs("order", "toy-7")
    assert traced.exit_code == 0, traced.errors
    assert all(name in traced.output for name in ("order.placed", "order.arrived", "order.hugged")), traced.output
    replayed, refused = (
        user.runs("replay", "--since", "1h", "--provider", name, "--dry-run") for name in ("toyshop", "nobody")
    )
    assert (replayed.exit_code, replayed.output.split()[1]) == (0, "events"), replayed.errors
    assert int(replayed.output.split()[0]) > 0, "the events of a provider of one's own are found"
    assert (refused.exit_code, "there are instacart, afosto, toyshop" in refused.errors) == (2, True), refused.errors
    for command in (["status"], ["failed"], ["drift"], ["replay", "--help"]):
        said = user.runs(*command)
        assert said.exit_code in {0, 1}, said.errors  # 2 would be a wrong set-up, 70 a bug


def test_a_missing_secret_stops_every_process_and_is_named(user: User) -> None:
    for command in (["ingress"], ["worker"], ["status"], ["send", "toyshop.py"]):
        said = user.runs(*command, TOYSHOP_SECRETS="")
        assert (said.exit_code, said.errors.splitlines()[0]) == (
            2,
            "TOYSHOP_SECRETS is missing (secret that toyshop signs with; several, separated by commas, are all valid): set it",
        )


def test_a_new_provider_s_settings_are_listed_and_its_secret_is_not_shown(user: User) -> None:
    said = user.runs("settings", "--json")
    rows = {row["name"]: row for row in json.loads(said.output)}
    assert (rows["TOYSHOP_SECRETS"]["value"], rows["TOYSHOP_SECRETS"]["source"]) == ("***", "environment")
    assert rows["PROVIDER_MODULES"]["value"] == "toyshop"
    assert NEW not in said.output
    assert "TOYSHOP_SECRETS is wrong: expected at least 16 characters" in user.runs("settings", TOYSHOP_SECRETS="x").errors


def test_a_new_provider_is_in_the_printed_documents(user: User) -> None:
    openapi, asyncapi = (json.loads(user.runs("schema", name).output) for name in ("openapi", "asyncapi"))
    validate(openapi)
    post = openapi["paths"]["/webhook/toyshop"]["post"]
    assert post["security"] == [{"toyshop": []}]
    assert openapi["components"]["securitySchemes"]["toyshop"]["name"] == "X-Toyshop-Signature"
    assert post["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/toyshop.Notice"}
    assert openapi["components"]["schemas"]["toyshop.Notice"]["properties"]["gift_note"] == {"type": ["string", "null"]}
    assert asyncapi["channels"]["toyshop"]["address"] == "/webhook/toyshop"
    assert asyncapi["components"]["messages"]["toyshop.Notice"]["payload"] == {"$ref": "#/components/schemas/toyshop.Notice"}
    assert user.runs("schema", "--check") == (0, "current\n", "")
