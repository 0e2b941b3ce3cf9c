"""One ingress: `python -m ingress`, or `curbside ingress`."""

import argparse
import logging.config
import os
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from ingress import middleware
from ingress.server import options
from schemas.log_records import sanitize_logs
from schemas.processes import LOG_LEVEL, WRONG_SET_UP
from schemas.sanitizing import sanitize_lines
from schemas.settings import SettingError, load
from schemas.settings.values import whole

_HELP = """\
Run one ingress until SIGTERM or Ctrl-C. It then answers the requests under way, for at most five seconds.

It speaks plain HTTP: put a proxy that ends TLS before it. Run any number of ingresses, each on its own address."""


def main() -> int:
    """Run one ingress and return its exit code. A wrong setting is reported in one line."""
    parser = argparse.ArgumentParser(
        "curbside ingress", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: CURBSIDE_HOST, or 127.0.0.1)")
    parser.add_argument(
        "--port", type=_whole(1, 65535), metavar="N", help="port to listen on (default: CURBSIDE_PORT, or 8080)"
    )
    parser.add_argument(
        "--processes", type=_whole(1, 1024), default=1, metavar="N", help="processes that share the address (default: 1)"
    )
    parser.add_argument("-l", "--loglevel", **LOG_LEVEL)
    given = parser.parse_args()
    sanitize_logs()
    try:
        settings = load(os.environ)
        middleware.check(settings.ingress_middleware)
    except SettingError as error:
        print(sanitize_lines(str(error)), file=sys.stderr)
        return WRONG_SET_UP
    logging.config.dictConfig(config := _logging(given.loglevel))
    uvicorn.run(
        "ingress.app:create_app",
        factory=True,
        host=given.host or settings.host,
        port=given.port or settings.port,
        workers=given.processes,
        log_config=config,
        **options(settings),
    )
    return 0


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            return whole(least, most)(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}, got {text!r}") from None

    return read


def _logging(level: str) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {"httpx": {"level": "WARNING"}},
    }


if __name__ == "__main__":
    sys.exit(main())
