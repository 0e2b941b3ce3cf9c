"""The pages are correct: their commands run, their links have targets, and what they name exists."""

import ast
import re
from collections.abc import Iterator

import pytest

from schemas import keys
from tests.contract.pages.commands import NOT_RUN_HERE, CommandRunner
from tests.contract.pages.markdown import Block, Page, all_pages, page
from tests.contract.pages.names import missing
from tests.e2e.local_run import run_with_refused_orders
from tests.support.command_line import REPOSITORY, curbside, only
from tests.support.waiting import wait_for

PAGES = all_pages()
SCRIPTS = [(each, block) for each in PAGES for block in each.blocks if block.language == "sh"]
EXAMPLES = [(each, block) for each in PAGES for block in each.blocks if block.language == "python"]
COMMANDS = {command for _, block in SCRIPTS for command in block.commands}
LANGUAGES = {"sh", "python", "text", "mermaid"}
NUMBER = re.compile(r"\d[\d,.]*\d")
NAMES_WHAT_IS_GONE = {"CHANGELOG.md"}
RESULTS = REPOSITORY / "tests" / "bench" / "results"

pytestmark = pytest.mark.timeout(300)
of_each_page = pytest.mark.parametrize("each", PAGES, ids=lambda each: each.name)


def at(value: object) -> str:
    """A test's name: the page, and the line in it."""
    return value.name if isinstance(value, Page) else str(value.line) if isinstance(value, Block) else str(value)


@pytest.fixture(scope="module")
def command_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandRunner]:
    """A second terminal beside `make run`, with the events of an order, of which one has failed."""
    with run_with_refused_orders(tmp_path_factory.mktemp("reader")) as run:

        def fail() -> str:
            """Have one more event fail for good; the id of its failure."""
            event_id = curbside("send", "-", environment=run.environment, given="{").output.split()[-1]
            wait_for(lambda: run.run_command("failed", "show", event_id).exit_code == 0, 20, "the failure on record")
            return f"{keys.DISPATCH}:{event_id}"

        assert run.run_command("send", "tests/payloads/instacart/flat", "tests/payloads/afosto").exit_code == 0
        wait_for(lambda: "rejected" in run.run_command("failed").output, 20, "a refused order on record")
        yield CommandRunner(only(run.environment), fail)


@pytest.mark.parametrize(("each", "block"), SCRIPTS, ids=at)
def test_the_commands_of_a_block_run(each: Page, block: Block, command_runner: CommandRunner) -> None:
    done = command_runner.run(block)
    assert done is None or done.returncode == 0, f"{each.name}:{block.line}\n{done.stderr}\n{done.stdout}"


@pytest.mark.parametrize("command", sorted(COMMANDS & NOT_RUN_HERE.keys()))
def test_a_command_that_cannot_run_here_is_checked_otherwise(command: str) -> None:
    NOT_RUN_HERE[command].check(command)


def test_every_command_listed_as_not_run_here_is_on_a_page() -> None:
    assert not NOT_RUN_HERE.keys() - COMMANDS


@of_each_page
def test_a_command_stands_where_it_is_run(each: Page) -> None:
    assert not [block for block in each.blocks if block.language not in LANGUAGES]
    assert not [block for block in each.blocks if re.search(r"^\$ ", block.text, re.MULTILINE)]


@of_each_page
def test_every_link_has_a_target(each: Page) -> None:
    broken = []
    for link in each.links:
        path, _, anchor = link.partition("#")
        if path.startswith("https://"):
            continue
        target = (each.path.parent / path).resolve() if path else each.path
        exists = target.is_relative_to(REPOSITORY) and target.exists()
        if not exists or (anchor and anchor not in {heading.anchor for heading in Page(target).headings}):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("each", [each for each in PAGES if each.name not in NAMES_WHAT_IS_GONE], ids=at)
def test_every_name_in_backticks_exists(each: Page) -> None:
    assert not [found for name in each.mentioned if (found := missing(name, each.path.parent))]


@pytest.mark.parametrize(("each", "block"), EXAMPLES, ids=at)
def test_an_example_is_a_whole_program_whose_imports_exist(each: Page, block: Block) -> None:
    tree = ast.parse(block.text, f"{each.name}:{block.line}")
    names = [
        f"{node.module}.{alias.name}" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert not [name for name in names if missing(name, REPOSITORY)]


def test_every_page_can_be_reached_from_the_readme() -> None:
    readme = page("README.md")
    linked = {(REPOSITORY / link.partition("#")[0]).resolve() for link in readme.links}
    assert not [each.name for each in PAGES if each.path not in {readme.path, *linked}]


def test_the_readme_is_read_in_five_minutes() -> None:
    lines = page("README.md").text.splitlines()
    assert len(lines) <= 130
    assert not [line for line in lines if len(line) > 100]
    pictures = [REPOSITORY / link for link in page("README.md").links if link.endswith(".png")]
    assert pictures
    assert not [each for each in pictures if each.stat().st_size > 150_000]


def test_the_readmes_numbers_were_printed_by_the_benchmark() -> None:
    rows = re.findall(r"^\| .* \| (.+) \| `(\w+)`, (\d{4}-\d\d-\d\d) \|$", page("README.md").section("Measured"), re.MULTILINE)
    assert len(rows) == 5
    for figures, _, day in rows:
        printed = [set(NUMBER.findall(line)) for line in (RESULTS / f"{day}.txt").read_text().splitlines()]
        wanted = {each for each in NUMBER.findall(figures) if len(each) > 2}  # not the 50 of p50
        assert wanted
        assert any(wanted <= line for line in printed), f"no line of {day} has {wanted}"


def test_the_glossary_is_short_and_defines_each_term_once() -> None:
    terms = re.findall(r"^\| ([\w ]+) \|", page("ARCHITECTURE.md").section("Glossary"), re.MULTILINE)[1:]
    assert len(terms) == len(set(terms)) <= 30
    assert terms == sorted(terms)


def test_the_data_model_is_that_of_the_code() -> None:
    rows = r"^\| `([^`]+)` +\|"
    told = re.findall(rows, page("ARCHITECTURE.md").section("Data in Valkey"), re.MULTILINE)
    assert told == re.findall(rows, keys.__doc__ or "", re.MULTILINE)
    assert len(set(told)) == len(told), "two kinds of data under one key"
