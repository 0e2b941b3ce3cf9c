"""The settings table of deploy/README.md matches the declarations: each variable, its default, its meaning, no secret."""

import re

import pytest

from deploy.documents.settings_table import BEGIN, END, PAGE, MarkersError, table, written_into
from schemas.settings import DECLARED, SettingError, load

_ROW = re.compile(r"\| `(\w+)`( \(secret\))? \| (.+?) \| (.+) \|")


def rows() -> dict[str, tuple[str, bool, str]]:
    _, _, *lines = table().splitlines()
    found = [_ROW.fullmatch(line) for line in lines]
    return {row[1]: (row[3], bool(row[2]), row[4]) for row in found if row}


def test_the_page_is_current() -> None:
    page = PAGE.read_text()
    assert written_into(page) == page, "run `.venv/bin/python -m deploy.documents.settings_table`, and commit it"


def test_each_setting_is_in_it_once_with_what_its_declaration_says() -> None:
    found = rows()
    assert len(found) == len(table().splitlines()) - 2
    for each in DECLARED:
        default, is_secret, meaning = found[each.metadata["name"]]
        assert (is_secret, meaning) == (each.metadata["secret"], each.metadata["meaning"])
        if each.metadata["default"]:
            assert default == f"`{each.metadata['default']}`"
    assert found.keys() - {each.metadata["name"] for each in DECLARED} == {
        "INSTACART_CLIENT_ID",
        "INSTACART_CLIENT_SECRET",
        "AFOSTO_SECRETS",
    }


def test_what_is_required_is_exactly_what_a_process_cannot_start_without() -> None:
    values = {
        name: f"{name.lower()}-of-thirty-two-characters" for name, (default, *_) in rows().items() if "required" in default
    }
    values["REDIS_URL"] = "redis://127.0.0.1:1/0"
    load(values)
    for name in values:
        with pytest.raises(SettingError, match=f"^{name} is missing"):
            load({given: value for given, value in values.items() if given != name})


def test_only_what_is_between_the_markers_changes() -> None:
    page = f"before\n{BEGIN}\nold rows\n{END}\nafter | `X` | old rows\n"
    assert written_into(page) == f"before\n{BEGIN}\n{table()}\n{END}\nafter | `X` | old rows\n"
    assert written_into(written_into(page)) == written_into(page)
    for broken in ("", BEGIN, END, f"{END}{BEGIN}"):
        with pytest.raises(MarkersError, match="expected"):
            written_into(broken)
