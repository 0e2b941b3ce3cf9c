"""A user's own providers: modules named in `PROVIDER_MODULES`, each with its rows in a mapping called `PROVIDERS`.

    PROVIDERS = {"toyshop": Contract(decode, shape_for, Hmac(header="X-Toyshop-Signature"))}

`schemas.settings.load` loads them, so that every process knows the same ones before it reads their credentials.
"""

import importlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.contracts import BUILT_IN, CONTRACTS, Contract
from schemas.proofs import Basic, Hmac, StandardWebhooks, Token
from schemas.request_context import KeptHeaderError, kept_names

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


class ProviderError(ValueError):
    """A provider module cannot be used. `str()` says which and why, in one line."""


def load_providers(modules: Iterable[str]) -> dict[str, Contract]:
    """Import a user's own modules, and return all providers, which then are in `CONTRACTS`. Raises `ProviderError`."""
    found, told_by = dict(BUILT_IN), dict.fromkeys(BUILT_IN, "Curbside itself")
    for module in dict.fromkeys(modules):
        for name, contract in _rows(module).items():
            if name in found:
                raise ProviderError(f"{module!r}: the provider {name!r} is there already, of {told_by[name]}")
            found[name], told_by[name] = contract, repr(module)
    CONTRACTS.update(found)
    return found


def _rows(module: str) -> Mapping[str, Contract]:
    rows: Any = getattr(_import(module), "PROVIDERS", None)
    if not isinstance(rows, Mapping) or not rows:
        raise ProviderError(f"{module!r} names no provider: it needs PROVIDERS = {{name: Contract(…)}}")
    for name, contract in rows.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ProviderError(
                f"{module!r}: provider name {name!r}: expected a lower-case letter, then up to 39 of a-z, 0-9 and _"
            )
        if (wrong := _mistake(contract)) is not None:
            raise ProviderError(f"{module!r}: provider {name!r}: {wrong}")
    return rows


def _mistake(contract: Any) -> str | None:
    if not isinstance(contract, Contract):
        return f"expected a Contract, got {type(contract).__name__}"
    functions: tuple[Any, ...] = (contract.decode, contract.shape_for)
    proof: Any = contract.proof
    if not all(callable(each) for each in functions):
        return "decode and shape_for must be functions"
    if not isinstance(proof, Token | Basic | Hmac | StandardWebhooks):
        return "proof: expected Token(), Basic(), Hmac(…) or StandardWebhooks() of schemas.proofs"
    try:
        kept_names(contract.kept_headers)
    except KeptHeaderError as error:
        return str(error)
    return None


def _import(module: str) -> object:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ProviderError(f"cannot import {module!r}: {_one_line(error)}") from error
    except Exception as error:  # a module may raise anything when it is imported
        raise ProviderError(f"cannot import {module!r}: {type(error).__name__}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
