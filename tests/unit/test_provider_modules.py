"""A user's own providers, by PROVIDER_MODULES: a mistake stops the start with one sentence."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.contracts import CONTRACTS
from schemas.failures import Reason
from schemas.provider_modules import ProviderError, load_providers
from schemas.settings import SettingError
from tests.payloads import recorded
from tests.support.command_line import curbside
from tests.support.settings import environment_for_tests, make_settings
from tests.support.stepped_deployment import SteppedDeployment

Write = Callable[[str, str], str]

HEAD = """
from schemas.contracts import BUILT_IN, Contract
from schemas.proofs import *
decode, shape_for, *_ = BUILT_IN["afosto"]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module that can be imported, and give its name. What it registered is forgotten with the test."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(CONTRACTS)

    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(HEAD + source)
        return name

    yield write
    for name in CONTRACTS.keys() - known:
        del CONTRACTS[name]


MISTAKES = {
    "nothing": ("pass", "'own_nothing' names no provider: it needs PROVIDERS = {name: Contract(…)}"),
    "empty": ("PROVIDERS = {}", "'own_empty' names no provider: it needs PROVIDERS = {name: Contract(…)}"),
    "list": ("PROVIDERS = [Contract(decode, shape_for)]", "'own_list' names no provider"),
    "capital": ("PROVIDERS = {'Toys': Contract(decode, shape_for)}", "provider name 'Toys': expected a lower-case letter"),
    "path": ("PROVIDERS = {'a/b': Contract(decode, shape_for)}", "provider name 'a/b': expected a lower-case letter"),
    "newline": ("PROVIDERS = {'toys\\n': Contract(decode, shape_for)}", "provider name 'toys\\n': expected"),
    "long": ("PROVIDERS = {'t' * 41: Contract(decode, shape_for)}", "then up to 39 of a-z, 0-9 and _"),
    "number": ("PROVIDERS = {7: Contract(decode, shape_for)}", "provider name 7: expected"),
    "built_in": ("PROVIDERS = {'afosto': Contract(decode, shape_for)}", "'afosto' is there already, of Curbside itself"),
    "tuple": ("PROVIDERS = {'toys': (decode, shape_for)}", "provider 'toys': expected a Contract, got tuple"),
    "text": ("PROVIDERS = {'toys': Contract(decode, 'shape')}", "decode and shape_for must be functions"),
    "proof": ("PROVIDERS = {'toys': Contract(decode, shape_for, Hmac)}", "proof: expected Token(), Basic(), Hmac(…) or"),
    "scheme": ("Hmac(header='X-Sig', digest='md5')", "cannot import 'own_scheme': ValueError: Hmac: digest: expected one of"),
    "bug": ("1 / 0", "cannot import 'own_bug': ZeroDivisionError: division by zero"),
    "import": ("import no_such_module", "cannot import 'own_import': No module named 'no_such_module'"),
    "syntax": ("def (", "cannot import 'own_syntax': SyntaxError: "),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_module_that_cannot_be_used_says_which_and_why_in_one_line(module: Write, name: str) -> None:
    source, said = MISTAKES[name]
    with pytest.raises(ProviderError) as refused:
        load_providers([module(f"own_{name}", source)])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_two_modules_cannot_declare_one_provider(module: Write) -> None:
    one, two = (module(f"own_{name}", "PROVIDERS = {'toys': Contract(decode, shape_for)}") for name in ("one", "two"))
    with pytest.raises(ProviderError, match=r"^'own_two': the provider 'toys' is there already, of 'own_one'$"):
        load_providers([one, two])
    assert "toys" in load_providers([one, one]), "one module named twice is one"


@pytest.mark.parametrize("modules", ["shop.providers", ".providers", "own..x"])
def test_a_module_that_is_not_there_is_named_with_the_setting(modules: str) -> None:
    with pytest.raises(SettingError) as refused:
        make_settings(PROVIDER_MODULES=modules)
    assert str(refused.value).startswith(f"PROVIDER_MODULES: cannot import {modules!r}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "command", [["ingress"], ["worker"], ["status"], ["send", __file__], ["schema"], ["failed"], ["drift"]]
)
def test_every_process_refuses_to_start(command: list[str]) -> None:
    said = curbside(*command, environment=environment_for_tests(PROVIDER_MODULES="shop.providers"))
    assert (said.exit_code, said.errors.splitlines()[0]) == (
        2,
        "PROVIDER_MODULES: cannot import 'shop.providers': No module named 'shop'",
    )
    assert "Traceback" not in said.errors


def test_a_client_id_belongs_to_one_provider(module: Write) -> None:
    name = module("own_clients", "PROVIDERS = {'toys': Contract(decode, shape_for)}")
    given = {"PROVIDER_MODULES": name, "TOYS_CLIENT_ID": "connect-test", "TOYS_CLIENT_SECRET": "a long enough secret"}
    with pytest.raises(SettingError, match=r"^TOYS_CLIENT_ID is wrong: it is INSTACART_CLIENT_ID too"):
        make_settings(**given)
    assert make_settings(**given | {"TOYS_CLIENT_ID": "toys"}).credentials["toys"].client_id == "toys"


def test_a_name_whose_variable_is_a_setting_of_ours_is_refused(module: Write) -> None:
    name = module("own_flower", "PROVIDERS = {'flower': Contract(decode, shape_for, Basic())}")
    with pytest.raises(SettingError, match="PROVIDER_MODULES: the provider 'flower' needs another name: FLOWER_BASIC_AUTH is"):
        make_settings(PROVIDER_MODULES=name, FLOWER_BASIC_AUTH="operator:a long enough secret")


def test_a_decoder_that_names_another_provider_fails_its_event_and_stops_no_other(
    module: Write, stepped_deployment: SteppedDeployment
) -> None:
    """Drift and ledger go by the name in the event: another one would trip them behind the commit."""
    load_providers([module("own_wrong_name", "PROVIDERS = {'toys': Contract(decode, shape_for)}")])
    bad = stepped_deployment.append(recorded("afosto/order_updated"), "toys")
    stepped_deployment.append(recorded("afosto/order_updated"), "afosto")
    stepped_deployment.dispatch()
    failure = stepped_deployment.failures.get("dispatch", bad)
    assert failure is not None
    assert (failure.reason, failure.message) == (
        Reason.HANDLER_ERROR,
        "TypeError: a bug in the decoder of toys: its event names another provider",
    )
    assert stepped_deployment.sums.count("routed") == 1
