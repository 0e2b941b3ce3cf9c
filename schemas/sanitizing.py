r"""Sanitizes untrusted text for a terminal, a log line or a page, so that it cannot hide, move or colour its surroundings.

Invisible characters are replaced by their escapes: `\x1b`, `\n`, `\u202e`. Printable text of any script is unchanged.
"""

import re

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001bca0-\U0001bca3\U000e0000-\U000e0fff]"
)
"""Invisible characters that Python calls printable: Unicode's Default_Ignorable_Code_Point, and the blank Braille pattern.

All others, of the categories Cc, Cf, Zl and Zp (ESC, bidirectional overrides, zero-width characters), are not printable to
Python.
"""


def sanitize(text: str) -> str:
    """The text on one line: control characters, line ends and bidirectional overrides are escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def sanitize_lines(text: str) -> str:
    """The same for a text of several lines, such as a traceback: line feeds and tabs stay."""
    return "".join(each if each in "\n\t" else _shown(each) for each in text)


def _shown(character: str) -> str:
    if character.isprintable() and not _INVISIBLE.match(character):
        return character
    return character.encode("unicode_escape").decode()
