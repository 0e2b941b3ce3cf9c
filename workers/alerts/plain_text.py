"""Makes external text plain for chat channels: no mention, no formatting, no link, no line break.

Chat services have different Markdown dialects, and not all of them support escapes. Every character that some service
interprets is therefore replaced by its full-width form, such as `＠` for `@`. It reads the same, and no service interprets it.
Common order ids contain no such character: `fc-104233`, `ord_1`, `#1001` and `A/B.2:3` are unchanged and can be copied.
"""

import re
from typing import Any

import orjson

from schemas.sanitizing import sanitize

_FULL_WIDTH = {ord(sign): ord(sign) + 0xFEE0 for sign in "@<>&*`[]\\|~"}
"""Mentions (`@everyone`, `<!channel>`, `<@U123>`), HTML and entities, emphasis, code, links, escapes, tables, spoilers."""
_OUTER_UNDERSCORE = re.compile(r"(?<!\w)_+|_+(?!\w)")
"""Underscores within a word are not emphasis."""
_LINK = re.compile(r":(?=//)")


def plain(text: str) -> str:
    """The text, safe to show in a channel."""
    text = sanitize(text).translate(_FULL_WIDTH)
    return _LINK.sub("：", _OUTER_UNDERSCORE.sub(lambda found: "＿" * len(found[0]), text))


def plain_json(document: str) -> str:
    """The JSON document with every string and name made plain. The syntax of JSON stays."""
    return orjson.dumps(_plain_value(orjson.loads(document))).decode()


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(name): _plain_value(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain_value(each) for each in value]
    return plain(value) if isinstance(value, str) else value
