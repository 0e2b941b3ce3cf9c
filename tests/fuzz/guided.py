"""The fuzzer's process: atheris (libFuzzer) chooses bodies by the code of `schemas` that they reach. Takes its arguments.

Only Python code guides it: msgspec is compiled, and to the fuzzer one step. So every second body comes from our own mutations,
which know what a document is.
"""

import sys
from random import Random

import atheris

with atheris.instrument_imports(include=["schemas"]):
    from tests.fuzz.loop import Tally

from tests.fuzz.mutations import mutated


def _damaged(data: bytes, max_size: int, seed: int) -> bytes:
    rng = Random(seed)  # noqa: S311 - libFuzzer's own seed
    changed: bytes = mutated(data, rng) if rng.random() < 0.5 else atheris.Mutate(data, max_size)
    return changed[:max_size]


if __name__ == "__main__":
    atheris.Setup(sys.argv, Tally().add, custom_mutator=_damaged)
    atheris.Fuzz()
