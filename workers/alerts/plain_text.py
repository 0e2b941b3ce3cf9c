"""Text from outside, made plain for a chat channel: it mentions nobody, formats nothing, links nowhere and stays on its line.

Services take Markdown in dialects of their own, and not all know an escape. So a sign that one of them would act on is written as its
full-width form, `＠` for `@`: a person reads the same, a machine nothing. No usual order id has such a sign: `fc-104233`, `ord_1`,
`#1001` and `A/B.2:3` stay as they are, and can be copied.
"""

import re
from typing import Any

import orjson

from schemas.sanitizing import sanitize

_FULL_WIDTH = {ord(sign): ord(sign) + 0xFEE0 for sign in "@<>&*`[]\\|~"}
"""Mentions (`@everyone`, `<!channel>`, `<@U123>`), HTML and its entities, emphasis, code, links, escapes, tables and spoilers."""
_OUTER_UNDERSCORE = re.compile(r"(?<!\w)_+|_+(?!\w)")
"""Underscores within a word are no emphasis."""
_LINK = re.compile(r":(?=//)")


def plain(text: str) -> str:
    """The text as a channel may show it."""
    text = sanitize(text).translate(_FULL_WIDTH)
    return _LINK.sub("：", _OUTER_UNDERSCORE.sub(lambda found: "＿" * len(found[0]), text))


def plain_json(document: str) -> str:
    """A JSON document in which every text is plain: the signs of JSON itself stay."""
    return orjson.dumps(_plain_value(orjson.loads(document))).decode()


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(name): _plain_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain_value(each) for each in value]
    return plain(value) if isinstance(value, str) else value
