"""A provider's side of HTTP, for `curbside send`: posts one body at a time and returns the response."""

import json
from typing import Any, NamedTuple, Self

import httpx

from deploy.credentials import Signer, token_form
from deploy.errors import NOT_DONE, CommandError
from deploy.local.ports import url_of
from schemas.contracts import CONTRACTS
from schemas.events import Provider
from schemas.proofs import Token
from schemas.settings import Settings
from schemas.settings.credentials import variables_of

_TIMEOUT_S = 15.0


class Answer(NamedTuple):
    """The ingress' response. `id` is the event's id, None if it was not accepted; `detail` then states why."""

    status: int
    id: str | None
    detail: str | None


def provider_of(body: bytes) -> str:
    """Guess the built-in provider of a body: only Afosto's has an `entity_type`."""
    try:
        value = json.loads(body)
    except ValueError:
        return Provider.INSTACART
    return Provider.AFOSTO if isinstance(value, dict) and "entity_type" in value else Provider.INSTACART


class Sender:
    """Posts to one ingress as any provider, and reuses tokens. Raises CommandError if nothing listens there."""

    def __init__(self, settings: Settings, url: str | None, endpoint: str | None) -> None:
        self._settings, self._endpoint = settings, endpoint
        self.url = (url or url_of(settings.host, settings.port)).rstrip("/")
        self._client = httpx.Client(timeout=_TIMEOUT_S)
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def post(self, body: bytes, provider: str | None) -> Answer:
        """Post one body. Raises CommandError for an unknown provider."""
        provider = provider or provider_of(body)
        if provider not in self._settings.credentials:
            raise CommandError(
                f"--provider is wrong: expected one of {', '.join(self._settings.credentials)}, got {provider!r}."
            )
        headers = Signer(self._settings, provider, self._endpoint).headers(body)
        if isinstance(CONTRACTS[provider].proof, Token):
            if provider not in self._tokens:
                self._tokens[provider] = self.fetch_token(provider)
            headers["Authorization"] = f"Bearer {self._tokens[provider]}"
        response = self._post(
            "/webhook" if provider == Provider.INSTACART else f"/webhook/{provider}", content=body, headers=headers
        )
        content = _json(response)
        if response.is_success and isinstance(content.get("id"), str):
            return Answer(response.status_code, content["id"], None)
        detail = content.get("detail") or f"the response of {self.url} is not Curbside's"
        return Answer(response.status_code, None, str(detail))

    def fetch_token(self, provider: str = Provider.INSTACART) -> str:
        """Fetch a provider's token. Raises CommandError, with the reason, if there is none."""
        response = self._post("/oauth/token", data=token_form(self._settings, provider))
        content = _json(response)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            names = [each.name for each in variables_of(provider, CONTRACTS[provider].proof)]
            raise CommandError(
                f"{self.url} refuses the client: it expects other values of {' and '.join(names)}.",
                NOT_DONE,
            )
        if not response.is_success or not isinstance(content.get("access_token"), str):
            reason = content.get("error_description") or content.get("detail") or "the response holds no token"
            raise CommandError(f"{self.url}/oauth/token answered {response.status_code}: {reason}.", NOT_DONE)
        return str(content["access_token"])

    def _post(self, path: str, **request: Any) -> httpx.Response:
        try:
            return self._client.post(self.url + path, **request)
        except httpx.ConnectError as error:
            advice = "start Curbside with `make run`, or name its address with --url"
            raise CommandError(f"Nothing listens at {self.url}: {advice}.", NOT_DONE) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise CommandError(f"--url is wrong: expected http://… or https://…, got {self.url!r}.") from error
        except httpx.HTTPError as error:
            raise CommandError(f"The request to {self.url} failed ({type(error).__name__}).", NOT_DONE) from error


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
