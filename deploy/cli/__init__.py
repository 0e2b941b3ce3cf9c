"""The command line, `curbside`: one module per command.

To add a command, write a function in a module here and register it in `_COMMANDS`. Import slow modules inside the
function: `curbside --help` must stay fast.
"""

import os
import sys
from typing import Annotated, Any

import typer

from deploy.cli import (
    demo,
    drift,
    failed,
    loss,
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
from deploy.cli.output import print_error
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
    (INSPECT, "loss", loss.loss),
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
for _name, _function in (("ingress", process.ingress), ("worker", process.worker)):  # the process parses its own options
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
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="On an unexpected error, show the traceback.")] = False,
) -> None:
    """Queue-backed intake of grocery order webhooks: stored on disk before the 200, applied exactly once.

    To try it, in two terminals:

    - curbside run
    - curbside send tests/payloads/instacart/flat/order_created.json

    Commands read their settings from environment variables (`curbside settings` lists them) and from the credentials that
    `curbside run` keeps in the data directory. With a deployment's variables they work on that deployment.
    """
    context.obj = {"traceback": traceback}


def main() -> None:
    """Run a command. Errors are reported in one sentence on standard error, without a traceback.

    The text of an unexpected error may hold a secret or personal data, so it is shown only with --traceback.
    """
    sanitize_logs()
    if not sys.flags.safe_path:
        sys.path.append("")  # as with `python -m`: a user's own modules are found in the working directory, after ours
    try:
        app()
    except SettingError as error:
        print_error(f"{error}{_hint()}")
        sys.exit(WRONG_SET_UP)
    except CommandError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(NOT_DONE)
    except Exception as bug:
        if "--traceback" in sys.argv:
            raise
        print_error(
            f"A bug in curbside: {type(bug).__name__} (`curbside --traceback ...` shows the error and where it was raised)."
        )
        sys.exit(70)


def _hint() -> str:
    """Advice for missing settings: none if the generated settings exist."""
    path = path_in(os.environ)
    return (
        ""
        if path.exists()
        else f"\n{path} does not exist: `curbside run` generates it. CURBSIDE_DATA_DIR names another data directory."
    )
