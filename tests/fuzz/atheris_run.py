"""A run of the fuzzer in a process, because libFuzzer ends its process itself."""

import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.loop import seeds

MAX_BODY_BYTES = 16_384
HUNG_SECONDS = 20
MEMORY_MIB = 1024
"""A body that takes longer or more than this is a finding too."""


class FoundError(Exception):
    """The fuzzer ended at a body that is not taken as promised; `str()` is the end of its log."""


def run(folder: Path, seed: int, seconds: int | None, bodies: int | None) -> dict[str, int]:
    """Fuzz until time or bodies are over; libFuzzer's final figures. Raises `FoundError`; the finding is then in `folder/findings`.

    `folder/corpus` keeps what reached new code, for the next run.
    """
    corpus, recorded, log = folder / "corpus", folder / "recorded", folder / "atheris.log"
    for each in (corpus, recorded):
        each.mkdir(parents=True, exist_ok=True)
    for number, body in enumerate(seeds()):
        (recorded / f"{number}.json").write_bytes(body)
    limits = [f"-max_total_time={seconds}"] if seconds else []
    limits += [f"-runs={bodies}"] if bodies else []
    watch = [f"-max_len={MAX_BODY_BYTES}", f"-timeout={HUNG_SECONDS}", f"-rss_limit_mb={MEMORY_MIB}", f"-seed={seed}"]
    keep = [f"-artifact_prefix={folder / 'findings'}/", "-verbosity=0", "-print_final_stats=1", str(corpus), str(recorded)]
    with log.open("wb") as out:
        ended = subprocess.run([sys.executable, "-m", "tests.fuzz.guided", *limits, *watch, *keep], stderr=out, check=False)
    said = log.read_text(errors="replace")
    if ended.returncode:
        raise FoundError(said[-4000:])
    return {name: int(figure) for name, figure in re.findall(r"^stat::(\w+):\s+(\d+)$", said, re.MULTILINE)}
