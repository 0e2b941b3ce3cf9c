"""Other people's ASGI middleware around the whole ingress, the path of an event included: `INGRESS_MIDDLEWARE`.

It sees every request and every answer, and an exception on its way to a 500: what Sentry and OpenTelemetry need. Its cost is its own.
"""

import pkgutil
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.settings import SettingError


def wrap(app: ASGIApp, names: Sequence[str]) -> ASGIApp:
    """Put `package.module:Name` around the application, the first outermost; each is called with what it goes around.

    Raises `SettingError` naming the one that cannot be used.
    """
    for name in reversed(names):
        app = _around(app, name)
    return app


def check(names: Sequence[str]) -> None:
    """Raise `SettingError` if one of them cannot be used; each is made once, around nothing."""
    wrap(_nothing, names)


def _around(app: ASGIApp, name: str) -> ASGIApp:
    try:
        made = pkgutil.resolve_name(name)(app)
    except Exception as error:  # whatever their module or class raises
        text = f": {error}".replace("\n", " ") if isinstance(error, ImportError | AttributeError) else ""  # may quote a secret
        why = f"{name!r} cannot be used: {type(error).__name__}{text}"
        raise SettingError(f"INGRESS_MIDDLEWARE is wrong: {why}") from error
    if not callable(made):
        raise SettingError(f"INGRESS_MIDDLEWARE is wrong: {name!r} gives no ASGI application, but {type(made).__name__}")
    wrapped: ASGIApp = made
    return wrapped


async def _nothing(_: Scope, __: Receive, ___: Send) -> None:
    """An application to try them on."""
