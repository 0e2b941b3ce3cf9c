"""A user's own handlers, by HANDLER_MODULES: they work like the built-in ones, and a mistake is one clear line."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path

import pytest

from schemas.events import Kind
from tests.support.event_sums import BUILT_IN
from tests.support.live_deployment import Worker
from tests.support.settings import make_settings
from tests.support.worker_parts import WorkerParts, refund, status
from workers import handler as handler_module
from workers.alerts.channels import Channels
from workers.alerts.outbox_relay import OutboxRelay
from workers.dispatcher import Dispatcher, Router
from workers.errors import HandlerError
from workers.event_decoder import EventDecoder
from workers.handler import registered
from workers.handler_runner import HandlerRunner
from workers.ledger.ledger import Ledger

HEAD = "from workers.handler import *\nfrom schemas.events import Kind\n"
LOYALTY = f"""{HEAD}
seen = []
@handler("loyalty", Kind.DELIVERED, Kind.ORDER_ITEM_REFUND)
def loyalty(work, events):
    seen.extend((event.order_ids[0], event.kind) for event in events)
"""

Write = Callable[[str, str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that can be imported by this test alone; its handlers are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    built_in = {name: each for name, each in handler_module._REGISTRY.items() if name in BUILT_IN}
    monkeypatch.setattr(handler_module, "_REGISTRY", built_in)
    before = set(sys.modules)

    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_users_handler_comes_after_the_built_in_ones_and_names_its_kinds(module: Write) -> None:
    handlers = registered([module("own_loyalty", LOYALTY)])
    assert [each.name for each in handlers] == [*BUILT_IN, "loyalty"]
    assert handlers[-1].kinds == frozenset({Kind.DELIVERED, Kind.ORDER_ITEM_REFUND})


def test_a_users_handler_gets_its_kinds_and_no_others(module: Write, worker_parts: WorkerParts) -> None:
    handlers = registered([module("own_loyalty", LOYALTY)])
    worker_parts.append(status("a", "delivered"), status("b", "picking"), refund("c", "bread"))
    Dispatcher(worker_parts.store, worker_parts.notifier, Router(handlers), decoder=EventDecoder(UTC), seen_ms=60_000).process(
        worker_parts.read_new()
    )
    ledger = Ledger(make_settings())
    relay = OutboxRelay(ledger, worker_parts.store, worker_parts.notifier, Channels(make_settings()))
    HandlerRunner(handlers[-1], worker_parts.store, ledger, relay, EventDecoder(UTC)).process(
        worker_parts.read_new("{curbside}:todo:loyalty")
    )
    relay.close()
    ledger.close()
    assert sys.modules["own_loyalty"].seen == [("a", Kind.DELIVERED), ("c", Kind.ORDER_ITEM_REFUND)]
    looked = worker_parts.sums([*BUILT_IN, "loyalty"])
    assert looked.count("routed:loyalty") == looked.count("applied:loyalty") == 2


def test_reading_the_settings_twice_registers_it_once(module: Write) -> None:
    name = module("own_loyalty", LOYALTY)
    assert registered([name]) == registered([name, name])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f'{HEAD}@handler("refunds")\ndef mine(work, events): ...', "'refunds' is registered twice: .*refunds and own_wrong"),
        (f'{HEAD}@handler("Loyalty!")\ndef mine(work, events): ...', "'Loyalty!': expected lower-case letters"),
        (f'{HEAD}@handler("drain")\ndef mine(work, events): ...', "'drain': expected .* none of .*drain"),
        (f'{HEAD}@handler("")\ndef mine(work, events): ...', "expected lower-case letters"),
        ("import no_such_module_anywhere", "cannot import 'own_wrong': No module named 'no_such_module_anywhere'"),
        ("def broken(:", "cannot import 'own_wrong': SyntaxError"),
        ("1 / 0", "cannot import 'own_wrong': ZeroDivisionError"),
    ],
)
def test_a_module_that_cannot_be_used_says_which_and_why(module: Write, source: str, said: str) -> None:
    with pytest.raises(HandlerError, match=said):
        registered([module("own_wrong", source)])


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(HandlerError, match=r"HANDLER_MODULES: cannot import 'shop\.handlers': No module named 'shop'"):
        registered(["shop.handlers"])


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HANDLER_MODULES": "shop.handlers"}, "HANDLER_MODULES: cannot import 'shop.handlers': No module named 'shop'"),
        ({"INSTACART_CLIENT_SECRET": "", "DEDUPE_WINDOW": "soon"}, "INSTACART_CLIENT_SECRET is missing ("),
    ],
)
def test_a_worker_that_is_set_up_wrong_ends_with_a_clear_line(tmp_path: Path, environment: dict[str, str], said: str) -> None:
    worker = Worker("wrong", tmp_path, **environment)
    worker.start()
    assert worker.wait() != 0
    assert said in worker.log
    assert "Traceback" not in worker.log
    assert len(worker.log.splitlines()) <= 2, "one line for each mistake"
