"""What is timed and how: contenders take turns on one core, and medians are compared."""

import gc
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


class LeftOut(Exception):
    """A contender cannot be measured here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One row of the table."""

    name: str
    prepare: Callable[[int], Callable[[], object]]
    """Given a number of texts, what classifies exactly so many; the preparation is not timed."""
    limit: int
    """As many different texts as there are for it."""
    least: int = 1
    """As few texts as make sense for it, such as one batch."""
    per_text: int = 1
    """Labels that it decides per text; its rate counts labels where this is more than one."""
    what: str = ""
    """What runs, in a few words."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Rates of one contender, one a turn, in texts (or label scores) per second."""

    contender: Contender
    texts: int
    """Different texts in one turn."""
    rates: list[float] = field(default_factory=list)

    @property
    def unit(self) -> str:
        return "label scores/s" if self.contender.per_text > 1 else "texts/s"


def take_turns(
    contenders: Sequence[Contender], *, turns: int, seconds: float, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Let every contender run for about ``seconds`` in each of ``turns`` turns.

    A turn starts one contender later than the turn before, so that none always follows the same one.
    """
    runs: dict[str, tuple[Callable[[], object], int]] = {}
    measured: dict[str, Measured] = {}
    for contender in contenders:
        texts, repeats = _size(contender, seconds)
        runs[contender.name] = contender.prepare(texts), repeats
        measured[contender.name] = Measured(contender=contender, texts=texts)
        runs[contender.name][0]()
    for turn in range(turns):
        say(f"turn {turn + 1} of {turns}")
        first = turn * len(contenders) // turns
        for contender in [*contenders[first:], *contenders[:first]]:
            run, repeats = runs[contender.name]
            mine = measured[contender.name]
            gc.collect()
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            elapsed = time.perf_counter() - start
            mine.rates.append(mine.texts * repeats * contender.per_text / elapsed)
    return measured


def _size(contender: Contender, seconds: float) -> tuple[int, int]:
    """Texts in a call and calls in a turn that take about ``seconds``."""
    texts = min(contender.limit, max(64 // contender.per_text, contender.least))
    while True:
        run = contender.prepare(texts)
        run()
        start = time.perf_counter()
        run()
        elapsed = max(time.perf_counter() - start, 1e-6)
        if elapsed > seconds / 8 or texts == contender.limit:
            break
        texts = min(contender.limit, texts * 8)
    wanted = texts / elapsed * seconds
    texts = int(min(contender.limit, max(contender.least, wanted)))
    return texts, max(1, round(wanted / texts))


def median(rates: Sequence[float]) -> float:
    return statistics.median(rates)


def fastest(tries: Mapping[str, Callable[[], object]], *, seconds: float = 0.15, rounds: int = 3) -> str:
    """The name of the try that runs most often, each at its best of a few short turns."""
    best = dict.fromkeys(tries, 0.0)
    for run in tries.values():
        run()
    for _ in range(rounds):
        for name, run in tries.items():
            count, start = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - start) < seconds:
                run()
                count += 1
            best[name] = max(best[name], count / elapsed)
    return max(best, key=lambda name: best[name])


def pin(core: int) -> bool:
    """Keep this process, and what it starts, on one core; False where the system cannot."""
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {core})
    return True


def cores() -> list[int]:
    """The cores that this process may use, the last one first: the first has the system's own work."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0), reverse=True)
    return list(range(os.cpu_count() or 1))


def machine() -> dict[str, object]:
    """What the numbers were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = entries.get("flags", entries.get("Features", "")).split()
    wanted = ("avx2", "avx512bw", "avx512_vnni", "amx_int8", "asimd", "sve")
    return {
        "processor": entries.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "vector_extensions": [flag for flag in wanted if flag in flags],
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are compared."""
    packages = (
        "pingti", "numpy", "numba", "pyarrow", "torch", "transformers", "onnxruntime", "onnx",
        "fasttext-numpy2", "scikit-learn", "model2vec", "tokenizers",
    )  # fmt: skip
    installed = {"python": platform.python_version()}
    for package in packages:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            installed[package] = "absent"
    return installed
