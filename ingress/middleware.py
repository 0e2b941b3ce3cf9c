"""A user's ASGI middleware around the whole ingress, the path of an event included: `INGRESS_MIDDLEWARE`.

It sees every request, every answer, and each exception before the 500: what Sentry and OpenTelemetry need. Its cost comes on
top.
"""

import pkgutil
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.settings import SettingError


def wrap(app: ASGIApp, names: Sequence[str]) -> ASGIApp:
    """Wrap the application in each `package.module:Name`, the first outermost. Each is called with the application that it wraps.

    Raises `SettingError`, which names the one that cannot be used.
    """
    for name in reversed(names):
        app = _around(app, name)
    return app


def check(names: Sequence[str]) -> None:
    """Raise `SettingError` if one cannot be used. Each is instantiated once, around an empty application."""
    wrap(_nothing, names)


def _around(app: ASGIApp, name: str) -> ASGIApp:
    try:
        made = pkgutil.resolve_name(name)(app)
    except Exception as error:  # whatever a module or class raises
        text = (
            f": {error}".replace("\n", " ") if isinstance(error, ImportError | AttributeError) else ""
        )  # its text may quote a secret
        why = f"{name!r} cannot be used: {type(error).__name__}{text}"
        raise SettingError(f"INGRESS_MIDDLEWARE is wrong: {why}") from error
    if not callable(made):
        raise SettingError(f"INGRESS_MIDDLEWARE is wrong: {name!r} gives no ASGI application, but {type(made).__name__}")
    wrapped: ASGIApp = made
    return wrapped


async def _nothing(_: Scope, __: Receive, ___: Send) -> None:
    """An empty application for `check`."""
