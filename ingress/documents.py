"""The published documents, as committed to the repository: `GET /asyncapi.json` and `GET /openapi.json`."""

import hashlib
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Document:
    """One document, read from disk once."""

    def __init__(self, name: str) -> None:
        self._body = resources.files("schemas").joinpath(f"{name}.json").read_bytes()
        self._headers = {
            "ETag": f'"{hashlib.sha256(self._body).hexdigest()[:16]}"',
            "Cache-Control": "public, max-age=300",
            "Access-Control-Allow-Origin": "*",  # browser tools fetch these documents from another origin
        }

    async def __call__(self, request: Request) -> Response:
        """Answer with the document, or 304 if the caller has it (`*` matches any; RFC 9110, 13.1.2)."""
        known = request.headers.get("if-none-match", "")
        if known.strip() == "*" or self._headers["ETag"] in known:
            return Response(status_code=304, headers=self._headers)
        return Response(self._body, headers=self._headers, media_type="application/json")


def routes() -> list[Route]:
    """A route for each document."""
    return [Route(f"/{name}.json", Document(name).__call__) for name in ("asyncapi", "openapi")]
