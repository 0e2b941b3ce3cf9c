"""Alert texts for channels: nothing is mentioned, formatted or linked; ordinary order ids are unchanged."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.alerts.plain_text import plain, plain_json

EDGES = "_ @<>&*`[]\\|~:/\n"


@pytest.mark.parametrize(
    "text", ["fc-104233", "#1001", "ord_1_2", "A/B.2:3", "Order 7 will be late by 20 minutes", "漢字 Ω (1)"]
)
def test_usual_texts_stay_as_they_are(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@everyone @here", "＠everyone ＠here"),
        ("<!channel> <@U123> <#C1>", "＜!channel＞ ＜＠U123＞ ＜#C1＞"),
        ("**b** `c` ~~s~~ ||x||", "＊＊b＊＊ ｀c｀ ～～s～～ ｜｜x｜｜"),
        ("_i_ __b__ ord_1_", "＿i＿ ＿＿b＿＿ ord_1＿"),
        ("[click](https://evil.example)", "［click］(https：//evil.example)"),
        ("<img src=x> &#64;here", "＜img src=x＞ ＆#64;here"),
        ("a\n# heading", "a＼n# heading"),
        ("\\@here", "＼＠here"),
    ],
)
def test_characters_that_a_channel_interprets_become_full_width(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from(EDGES))))
def test_no_text_keeps_a_character_that_a_channel_interprets(text: str) -> None:
    shown = plain(text)
    assert not set("@<>&*`[]\\|~\n\r\x1b\u202e\u200b") & set(shown)
    assert "://" not in shown
    assert plain(shown) == shown
    document = json.loads(
        plain_json(json.dumps({"order_id": text.encode("utf-8", "replace").decode(), "n": [1, None, text == ""]}))
    )
    assert document["n"] == [1, None, text == ""]
    assert not set("@<>&*`[]|~") & set(document["order_id"])
