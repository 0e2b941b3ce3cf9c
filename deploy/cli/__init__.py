"""The command line, `curbside`: a command for everything that a person does, each in a file of its own.

A new command is a function in a module here, registered in `_COMMANDS`. Modules import what is slow inside their
functions: `curbside --help` has to be quick.
"""

import os
import sys
from typing import Annotated, Any

import typer

from deploy.cli import (
    demo,
    drift,
    failed,
    migrate,
    order,
    process,
    replay,
    retry,
    run,
    schema,
    send,
    settings,
    simulate,
    status,
)
from deploy.cli.output import complain
from deploy.errors import NOT_DONE, WRONG_SET_UP, CommandError
from deploy.generated import path_in
from schemas.log_records import sanitize_logs
from schemas.settings import SettingError

RUN, INSPECT, REPAIR, SET_UP = "Run", "Inspect", "Repair", "Set up"

_COMMANDS: list[tuple[str, str, Any]] = [
    (RUN, "run", run.run),
    (RUN, "send", send.send),
    (RUN, "simulate", simulate.simulate),
    (RUN, "demo", demo.demo),
    (INSPECT, "status", status.status),
    (INSPECT, "order", order.order),
    (INSPECT, "drift", drift.drift),
    (REPAIR, "retry", retry.retry),
    (REPAIR, "discard", retry.discard),
    (REPAIR, "replay", replay.replay),
    (SET_UP, "settings", settings.settings),
    (SET_UP, "migrate", migrate.migrate),
    (SET_UP, "schema", schema.schema),
]

app = typer.Typer(
    name="curbside",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _panel, _name, _function in _COMMANDS:
    app.command(_name, rich_help_panel=_panel)(_function)
for _name, _function in (("ingress", process.ingress), ("worker", process.worker)):  # their options are the process' own
    app.command(
        _name,
        rich_help_panel=RUN,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_function)
app.command("trace", hidden=True)(order.trace)
app.add_typer(failed.app, name="failed", rich_help_panel=REPAIR)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - quick start

        typer.echo(f"curbside {version('curbside')}")
        raise typer.Exit


@app.callback()
def _curbside(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it, leave.")] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="On a bug, show where it is.")] = False,
) -> None:
    """Queue-backed intake of grocery order webhooks: acknowledged at once, kept safe, acted on exactly once.

    A first look, in two terminals:

    - curbside run
    - curbside send tests/payloads/instacart/flat/order_created.json

    Commands read environment variables, listed by `curbside settings`, and the credentials that `curbside run` keeps
    in the data folder: with the same variables they work on any deployment.
    """
    context.obj = {"traceback": traceback}


def main() -> None:
    """Run a command. A person is told what is wrong in a sentence, on standard error, and never shown a traceback.

    The text of an error that nobody foresaw may quote a secret or a customer: it is shown only with --traceback.
    """
    sanitize_logs()
    if not sys.flags.safe_path:
        sys.path.append("")  # a user's own modules lie where a command is run, as for `python -m`; ours go before them
    try:
        app()
    except SettingError as error:
        complain(f"{error}{_hint()}")
        sys.exit(WRONG_SET_UP)
    except CommandError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(NOT_DONE)
    except Exception as bug:
        if "--traceback" in sys.argv:
            raise
        complain(f"A bug in curbside: {type(bug).__name__} (`curbside --traceback ...` shows where, and what it says).")
        sys.exit(70)


def _hint() -> str:
    """What a person may have forgotten, where settings are missing."""
    path = path_in(os.environ)
    return (
        ""
        if path.exists()
        else f"\nNothing is kept in {path}: `curbside run` makes it; CURBSIDE_DATA_DIR names another folder."
    )
