"""Parses the pages (every *.md): code blocks, links, anchors and the names they mention."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tests.support.command_line import REPOSITORY

_NOT_OURS = {"node_modules", "build", "dist"}
_FENCE = re.compile(r"^```(\w*)\s*$")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$")


class Block(NamedTuple):
    """A fenced block: its language, its first line's number, its text."""

    language: str
    line: int
    text: str

    @property
    def commands(self) -> list[str]:
        """Its commands, one a line; a backslash at the end of a line joins it to the next."""
        return [command for command in re.split(r"(?<!\\)\n", self.text) if command.strip()]


class Heading(NamedTuple):
    """A heading, and the anchor that GitHub gives it."""

    title: str
    anchor: str


@dataclass(frozen=True)
class Page:
    """One page."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return str(self.path.relative_to(REPOSITORY))

    @cached_property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        """Its fenced blocks."""
        return list(_blocks(self.text))

    @cached_property
    def prose(self) -> str:
        """It without fenced blocks."""
        inside, kept = False, []
        for line in self.text.splitlines():
            if _FENCE.match(line):
                inside = not inside
            elif not inside:
                kept.append(line)
        return "\n".join(kept)

    @property
    def links(self) -> list[str]:
        """Where its links and pictures lead."""
        return _LINK.findall(_CODE.sub("", self.prose))

    @property
    def mentioned(self) -> list[str]:
        """What stands in backticks."""
        return _CODE.findall(self.prose)

    @property
    def headings(self) -> list[Heading]:
        """Its headings, in order."""
        titles = [found[1] for line in self.prose.splitlines() if (found := _HEADING.match(line))]
        seen: Counter[str] = Counter()
        return [Heading(title, _numbered(_anchor(title), seen)) for title in titles]

    def section(self, title: str) -> str:
        """What stands under a heading, up to the next one of its level."""
        level, _, rest = self.text.partition(f" {title}\n")
        marks = level.rpartition("\n")[2]
        return rest.partition(f"\n{marks} ")[0]


def all_pages() -> list[Page]:
    """Every page; the README first, since it sends the first event."""
    found = [path for path in REPOSITORY.rglob("*.md") if _is_ours(path.relative_to(REPOSITORY))]
    return [Page(path) for path in sorted(found, key=lambda each: (each != REPOSITORY / "README.md", each))]


def page(name: str) -> Page:
    """The page at this path of the repository."""
    return Page(REPOSITORY / name)


def _is_ours(path: Path) -> bool:
    return not any(part.startswith(".") or part in _NOT_OURS for part in path.parts)


def _blocks(text: str) -> Iterator[Block]:
    language, begin, kept = "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line.strip())
        if fence and not begin:
            language, begin, kept = fence[1], number, []
        elif fence:
            yield Block(language, begin + 1, "\n".join(kept))
            begin = 0
        else:
            kept.append(line)
    assert not begin, f"the block at line {begin} has no end"


def _anchor(title: str) -> str:
    """As GitHub makes it: lower case, punctuation gone, a hyphen for each space."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def _numbered(anchor: str, seen: "Counter[str]") -> str:
    """The second heading of one title gets `-1`, and so on."""
    seen[anchor] += 1
    return anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor] - 1}"
