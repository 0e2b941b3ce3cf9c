"""One worker process: `python -m workers`, or `curbside worker`.

It runs the same Celery worker as `celery -A workers.app worker`, without Celery's other commands and Flower, which take 25 MB.
"""

import argparse
import os
import sys

from celery.utils.nodenames import host_format

from schemas.processes import LOG_LEVEL, WRONG_SET_UP
from schemas.sanitizing import sanitize_lines
from schemas.settings import SettingError, Settings, load
from workers.app import WorkerRole, create_app, queues_of
from workers.errors import DependencyUnavailableError, HandlerError, UnsuitableDatabaseError
from workers.handler import registered
from workers.ledger.ledger import Ledger
from workers.valkey.connection import connect
from workers.valkey.rights import MissingRightsError, check_rights

_HELP = """\
Run one worker process until SIGTERM or Ctrl-C. It then finishes its current batches and leaves the rest to other workers.

Run any number of workers, each under its own name. With a worker of role urgent, also run one of role bulk, and vice versa."""
_ROLE_HELP = (
    "all (the default); urgent: the inbox, handlers that retry within seconds, alerts; bulk: the rest. A separate urgent "
    "worker sends an alert several times sooner when there is a backlog"
)
_NAME_HELP = (
    "name of the worker; %%h stands for the host name (default: the role). Restarted under the same name, it continues its "
    "unfinished batches at once; otherwise another worker claims them after ten seconds"
)


def main() -> int:
    """Run the worker and return its exit code. A wrong setting is reported in one line."""
    parser = argparse.ArgumentParser("curbside worker", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = [each.value for each in WorkerRole]
    parser.add_argument("--role", choices=roles, default=WorkerRole.ALL.value, help=_ROLE_HELP)
    parser.add_argument("--lanes", dest="role", choices=roles, help=argparse.SUPPRESS)  # the name in release 0.1
    parser.add_argument("-n", "--name", metavar="NAME@%h", help=_NAME_HELP)
    parser.add_argument("-l", "--loglevel", **LOG_LEVEL)
    given = parser.parse_args()
    try:
        settings = load(os.environ)
        app = create_app(settings)
        queues = queues_of(registered(settings.handler_modules), WorkerRole(given.role))
        with connect(settings.redis_url) as client:
            check_rights(client)
        _check_ledger(settings)
    except (SettingError, HandlerError, MissingRightsError) as error:
        print(sanitize_lines(str(error)), file=sys.stderr)
        return WRONG_SET_UP
    except UnsuitableDatabaseError as error:
        print(f"DATABASE_URL: {error} cannot be the ledger.", file=sys.stderr)
        return WRONG_SET_UP
    name = host_format(given.name or f"{given.role}@%h")
    worker = app.Worker(
        hostname=name, queues=queues, loglevel=given.loglevel, without_gossip=True, without_mingle=True, quiet=True
    )
    worker.start()
    return int(worker.exitcode or 0)


def _check_ledger(settings: Settings) -> None:
    """Raises `UnsuitableDatabaseError` for a database that can never be the ledger. One that cannot be reached is waited for."""
    if settings.database_url.startswith("sqlite"):
        return
    ledger = Ledger(settings)
    try:
        ledger.check()
    except UnsuitableDatabaseError:
        raise
    except DependencyUnavailableError:
        pass
    finally:
        ledger.close()


if __name__ == "__main__":
    sys.exit(main())
