"""Recorded bodies: one coherent order life for each provider and dialect. Two of Afosto's are its published examples."""

from pathlib import Path

FOLDER = Path(__file__).parent
FLAT_ORDER = "fc-104233"
ENVELOPE_ORDER = "b7fab7ae-3c1d-4a52-8f0e-5d2c91e4a710"
AFOSTO_ORDER = "ord_72fca344-2a6f-4b3e-9c1d-5f8a2e7b0d93"
AFOSTO_OTHER_ORDER = "ord_9e4b7c20-61d8-4f0a-8a35-0c7d2f6e1b58"
AFOSTO_DELIVERY = "dlv_5f8a2e7b-0d93-4b3e-9c1d-72fca3442a6f"


def recorded(path: str) -> bytes:
    """One body, byte for byte: `recorded("instacart/flat/late_delivery")`."""
    return (FOLDER / f"{path}.json").read_bytes()


def all_recorded() -> list[str]:
    """The names of all bodies, for `recorded`."""
    return sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.json"))
