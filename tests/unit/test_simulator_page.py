"""The simulator's page lists the options of the command, with their defaults."""

import inspect
import re

from deploy.cli.simulate import simulate
from tests.support.command_line import REPOSITORY

PAGE = (REPOSITORY / "deploy" / "simulator" / "README.md").read_text()
ROW = re.compile(r"^\| (`--.+?) \| (.+?) \| .+ \|$", re.MULTILINE)


def options() -> dict[str, object]:
    """The command's options by name, with their defaults."""
    names = {"as_json": "json"}
    found = inspect.signature(simulate).parameters.values()
    return {f"--{names.get(each.name, each.name).replace('_', '-')}": each.default for each in found}


def test_the_page_lists_every_option_and_no_other() -> None:
    assert [option for row in ROW.findall(PAGE) for option in re.findall(r"--[a-z-]+", row[0])] == list(options())


def test_the_page_gives_each_number_that_is_a_default() -> None:
    told = {option: row[1] for row in ROW.findall(PAGE) for option in re.findall(r"--[a-z-]+", row[0])}
    numbers = {option: default for option, default in options().items() if type(default) in (int, float)}
    assert {option: float(told[option]) for option in numbers} == numbers
