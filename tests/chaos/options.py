"""What a run is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of `python -m tests.chaos`. `kinds`: empty for all that this machine can have."""

    seconds: float = 60.0
    seed: int = 1
    faults: int = 20
    rate: float = 300.0
    kinds: tuple[str, ...] = ()
    server: str = "valkey"
    database: str = "postgresql"
    previous: str = "HEAD~1"
    patience: float = 90.0
    keep: bool = False
