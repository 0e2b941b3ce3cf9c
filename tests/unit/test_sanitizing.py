"""Characters that are invisible or control a terminal become escapes; readable text is unchanged."""

import io
import json
import logging
import unicodedata
from collections.abc import Iterator

import pytest
from celery.utils.log import ColorFormatter
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tornado.log import LogFormatter

from deploy.cli.output import print_json, print_table
from deploy.local.terminal import Terminal
from schemas.log_records import sanitize_logs
from schemas.sanitizing import sanitize, sanitize_lines

HOSTILE = "fc-1\x1b[2J\x9b31m\r\n2030-01-01 00:00:00,000 ERROR curbside forged\u202e\u2066\u200b\u3164\u2028\x07"
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def is_seen(text: str) -> bool:
    return not any(unicodedata.category(each) in _UNSEEN for each in text)


@pytest.mark.parametrize("text", ["fc-104233", "#1001", "A/B.2:3", "naïve 漢字 Ωμέγα 🛒", "C:\\new", 'it\'s "both"'])
def test_readable_text_is_unchanged(text: str) -> None:
    assert sanitize(text) == text == sanitize_lines(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", "\\x1b[31m"),
        ("a\r\nb", "a\\r\\nb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb\ufeffc", "a\\u200bb\\ufeffc"),
        ("a\u2028b\x85c", "a\\u2028b\\x85c"),
        ("\u3164\u2800\ufe0f", "\\u3164\\u2800\\ufe0f"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_invisible_characters_become_escapes(text: str, shown: str) -> None:
    assert sanitize(text) == shown


@given(st.text())
def test_any_text_becomes_one_line_of_visible_characters(text: str) -> None:
    assert is_seen(sanitize(text))
    assert sanitize(sanitize(text)) == sanitize(text)
    assert is_seen(sanitize_lines(text).replace("\n", "").replace("\t", ""))


@pytest.fixture
def harmless_logs() -> Iterator[None]:
    before = logging.getLogRecordFactory()
    sanitize_logs()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.usefixtures("harmless_logs")
@pytest.mark.parametrize(
    "formatter",
    [
        logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"),
        ColorFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", use_color=False),
        LogFormatter(color=False),
    ],
    ids=["ingress", "celery", "flower"],
)
@pytest.mark.parametrize("way", ["argument", "message", "error", "cause"])
def test_a_log_record_is_one_line_and_its_traceback_is_indented(formatter: logging.Formatter, way: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    log = logging.Logger("curbside.test")
    log.addHandler(handler)
    try:
        try:
            raise ValueError(HOSTILE)
        except ValueError as cause:
            raise KeyError("plain") from cause
    except KeyError as error:
        if way == "argument":
            log.warning("order %s failed", HOSTILE)
        elif way == "message":
            log.warning(f"order {HOSTILE} failed")
        elif way == "error":
            log.warning("failed", exc_info=error.__cause__)
        else:
            log.exception("failed", stack_info=True)
    text = stream.getvalue()
    first, *others = text.rstrip("\n").split("\n")
    assert is_seen(text.replace("\n", ""))
    assert "forged" in text
    assert all(line.startswith("    ") for line in others)
    assert bool(others) == (way in {"error", "cause"})
    assert "curbside" in first or "test" in first


def test_tables_json_and_run_output_hold_no_terminal_commands(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("order", "state"), [(HOSTILE, "applied"), ("fc-2", "applied")])
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 3, "each order is one row"
    print_json({"order": HOSTILE + "𝄞"})
    document = capsys.readouterr().out
    stream = io.StringIO()
    Terminal(Console(file=stream), verbose=True).process_line("worker1", HOSTILE, is_warning=True)
    assert len(stream.getvalue().splitlines()) == 1
    for shown in (*rows, document, stream.getvalue()):
        assert is_seen(shown.replace("\n", ""))
    assert json.loads(document) == {"order": HOSTILE + "𝄞"}
