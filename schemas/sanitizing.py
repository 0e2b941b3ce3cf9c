r"""Text from outside, made harmless for a terminal, a log line or a page: nothing in it hides, moves or colours what stands around it.

What is not to be seen is written as its escape: `\x1b`, `\n`, `\u202e`. Printable text of any script stays as it is.
"""

import re

_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001bca0-\U0001bca3\U000e0000-\U000e0fff]"
)
"""What Python calls printable and nobody can see: Unicode's Default_Ignorable_Code_Point, and the blank Braille pattern.

The other invisible ones, of the categories Cc, Cf, Zl and Zp (ESC, bidirectional overrides, zero-width characters), are not printable.
"""


def sanitize(text: str) -> str:
    """The text on one line, with the escape of whatever cannot be seen: control characters, line ends, bidirectional overrides."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def sanitize_lines(text: str) -> str:
    """The same of a text that has lines of its own, such as a traceback: line feeds and tabs stay."""
    return "".join(each if each in "\n\t" else _shown(each) for each in text)


def _shown(character: str) -> str:
    if character.isprintable() and not _INVISIBLE.match(character):
        return character
    return character.encode("unicode_escape").decode()
