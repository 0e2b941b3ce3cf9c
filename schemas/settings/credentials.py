"""The credentials of each provider: the names of their variables follow from its name and its proof.

| proof | variables of the provider `toyshop` |
|---|---|
| `Token()` | `TOYSHOP_CLIENT_ID`, `TOYSHOP_CLIENT_SECRET` |
| `Hmac(…)`, `StandardWebhooks()` | `TOYSHOP_SECRETS` |
| `Basic()` | `TOYSHOP_BASIC_AUTH` |

All but the client id take several values, separated by commas, which are all valid, so that they rotate with overlap. What a
secret may look like is in `schemas.settings.secrets`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.contracts import BUILT_IN, Contract
from schemas.proofs import Basic, Hmac, Proof, StandardWebhooks, Token
from schemas.settings.secrets import Secret, endpoint_secret, login, secret, several, visible, webhook_secret


@dataclass(frozen=True)
class Credentials:
    """The credentials of one provider. All `secrets` are valid; only a provider with a token has a `client_id`."""

    secrets: tuple[Secret, ...]
    client_id: str = ""


class Variable(NamedTuple):
    """One variable. `read` raises ValueError, which quotes no secret; `part` is the field of `Credentials` that it fills."""

    name: str
    read: Callable[[str], Any]
    part: str
    meaning: str
    is_secret: bool = True


def variables_of(provider: str, proof: Proof) -> tuple[Variable, ...]:
    """The variables of a provider's credentials."""
    prefix = provider.upper()
    match proof:
        case Token():
            return (
                Variable(
                    f"{prefix}_CLIENT_ID", _client_id, "client_id", f"client id that {provider} fetches tokens with", False
                ),
                Variable(f"{prefix}_CLIENT_SECRET", _secrets, "secrets", f"secret of {prefix}_CLIENT_ID; {_SEVERAL}"),
            )
        case Hmac(endpoint_header=None):
            return (Variable(f"{prefix}_SECRETS", _secrets, "secrets", f"secret that {provider} signs with; {_SEVERAL}"),)
        case Hmac():
            meaning = f"secrets that {provider} signs with, for every endpoint or endpoint-uuid=secret; {_SEVERAL}"
            return (Variable(f"{prefix}_SECRETS", _endpoint_secrets, "secrets", meaning),)
        case StandardWebhooks():
            meaning = f"secret that {provider} signs with, whsec_…; {_SEVERAL}"
            return (Variable(f"{prefix}_SECRETS", _webhook_secrets, "secrets", meaning),)
        case Basic():
            return (Variable(f"{prefix}_BASIC_AUTH", _logins, "secrets", f"user:password of {provider}; {_SEVERAL}"),)


def read_credentials(contracts: Mapping[str, Contract], given: Mapping[str, str], wrong: list[str]) -> dict[str, Credentials]:
    """The credentials of each provider. For each missing or wrong variable a line is added to `wrong`."""
    found: dict[str, Credentials] = {}
    for provider, contract in contracts.items():
        parts: dict[str, Any] = {"secrets": ()}
        for each in variables_of(provider, contract.proof):
            if not (text := given.get(each.name)):
                generated = ", or let `make run` make one" if provider in BUILT_IN else ""
                wrong.append(f"{each.name} is missing ({each.meaning}): set it{generated}")
                continue
            try:
                parts[each.part] = each.read(text)
            except ValueError as error:
                wrong.append(f"{each.name} is wrong: {error}")
        found[provider] = Credentials(**parts)
    wrong += _clients_of_two(found)
    return found


def _clients_of_two(found: Mapping[str, Credentials]) -> Iterator[str]:
    """Client ids that two providers share, each as an error. A token names only its client: a shared one would be valid for both."""
    known: dict[str, str] = {}
    for provider, credentials in found.items():
        if credentials.client_id and known.setdefault(credentials.client_id, provider) != provider:
            first = known[credentials.client_id]
            yield f"{provider.upper()}_CLIENT_ID is wrong: it is {first.upper()}_CLIENT_ID too; each provider needs one of its own"


_SEVERAL = "several, separated by commas, are all valid"


def _client_id(text: str) -> str:
    if not (text := visible(text)):
        raise ValueError("expected a client id")
    return text


def _secrets(text: str) -> tuple[Secret, ...]:
    return several(text, lambda part: Secret(secret(part)))


def _endpoint_secrets(text: str) -> tuple[Secret, ...]:
    return several(text, endpoint_secret)


def _webhook_secrets(text: str) -> tuple[Secret, ...]:
    return several(text, lambda part: Secret(webhook_secret(part)))


def _logins(text: str) -> tuple[Secret, ...]:
    return several(text, login)
