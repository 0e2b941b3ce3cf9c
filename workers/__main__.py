"""One worker process: `python -m workers`, or `curbside worker`.

What it runs is a Celery worker, the same as `celery -A workers.app worker`; that command also loads all of Celery's others, and
Flower with them: 25 MB that a worker has no use for.
"""

import argparse
import os
import sys

from celery.utils.nodenames import host_format

from schemas.harmless import harmless_lines
from schemas.settings import SettingError, load
from workers.app import Lanes, create_app, queues_of
from workers.handler import HandlerError, registered

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_WRONG_SET_UP = 2

_HELP = """\
Run one worker process, until SIGTERM or Ctrl-C: it then ends what it has in hand, and what waits is left to others.

Start as many as you like, each under a name of its own. A worker of one kind of lanes needs another of the other kind beside it."""
_LANES_HELP = (
    "all (the default); urgent: the inbox, handlers that retry within seconds, alerts; bulk: the rest. An alert past a backlog is "
    "handed over several times sooner where a process of its own looks after what is urgent"
)
_NAME_HELP = (
    "its name, %%h for the host's (default: the lanes' name). Started again under the same name it goes on at once with what it had "
    "in hand; another takes that over after ten seconds"
)


def main() -> int:
    """Run it; its exit code. A setting that is wrong is said in one line."""
    parser = argparse.ArgumentParser("curbside worker", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", choices=[each.value for each in Lanes], default=Lanes.ALL.value, help=_LANES_HELP)
    parser.add_argument("-n", "--name", metavar="NAME@%h", help=_NAME_HELP)
    parser.add_argument(
        "-l", "--loglevel", type=str.upper, choices=_LEVELS, default="INFO", help="least serious line to write (INFO)"
    )
    given = parser.parse_args()
    try:
        settings = load(os.environ)
        app = create_app(settings)
        queues = queues_of(registered(settings.handler_modules), Lanes(given.lanes))
    except (SettingError, HandlerError) as error:
        print(harmless_lines(str(error)), file=sys.stderr)
        return _WRONG_SET_UP
    name = host_format(given.name or f"{given.lanes}@%h")
    worker = app.Worker(
        hostname=name, queues=queues, loglevel=given.loglevel, without_gossip=True, without_mingle=True, quiet=True
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
