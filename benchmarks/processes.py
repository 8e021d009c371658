"""Processes that have only a student in them: their start, their memory, and two of them at once.

Run as ``python -m benchmarks.processes STUDENT TEXTS CORE`` it is such a process: it loads and says what that
took, then answers every line "SECONDS" on its input by scoring for so long and saying its rate.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import pin

_REPOSITORY = Path(__file__).resolve().parents[1]


class Child:
    """A process with a student, on a core of its own."""

    def __init__(self, student: Path, texts: Path, core: int) -> None:
        command = [sys.executable, "-m", "benchmarks.processes", str(student), str(texts), str(core)]
        started = time.perf_counter()
        self._process = subprocess.Popen(
            command, cwd=_REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.start = self.answer()
        self.start["process_to_first_score_ms"] = (time.perf_counter() - started) * 1e3

    def ask(self, seconds: float) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(f"{seconds}\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, float]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise RuntimeError("the process with the student has ended; its error is above")
        answer: dict[str, float] = json.loads(line)
        return answer

    def memory(self) -> dict[str, float]:
        return memory(self._process.pid)

    def end(self) -> None:
        self._process.communicate()


def memory(pid: int) -> dict[str, float]:
    """Resident and proportional set size in MB (10^6 bytes); a page that k processes map counts 1/k in the
    second. Empty where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return {}
    sizes = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    return {name: int(sizes[key][0]) * 1024 / 1e6 for name, key in (("rss_mb", "Rss"), ("pss_mb", "Pss"))}


def measure_processes(
    student: Path, texts: Path, places: list[int], *, turns: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, object]]:
    """Rates of one process and of two at once, in turns, a core each; and each one's memory at the end.

    There are no rates where ``places`` are not two cores.
    """
    children = [Child(student, texts, place) for place in places]
    rates: dict[str, list[float]] = {"one_process": [], "two_processes": []}
    try:
        for _ in range(turns):
            for child in children:  # warm, and each other's equal
                child.ask(seconds / 4)
                child.answer()
            if len(children) < 2:
                continue
            children[0].ask(seconds)
            rates["one_process"].append(children[0].answer()["texts_per_second"])
            for child in children:
                child.ask(seconds)
            rates["two_processes"].append(sum(child.answer()["texts_per_second"] for child in children))
        shown: dict[str, object] = {
            "before_the_student": {
                key: value for key, value in children[0].start.items() if key.endswith("_mb")
            },
            f"scoring_{len(children)}_processes": [child.memory() for child in children],
        }
    finally:
        for child in children:
            child.end()
    return ({name: values for name, values in rates.items() if values}, shown)


def measure_start(student: Path, texts: Path, place: int, *, turns: int) -> dict[str, float]:
    """Medians, in milliseconds, of fresh processes: import, load and first score with a warm cache of
    compiled code; and once the import with an empty one."""
    starts = []
    for _ in range(turns):
        child = Child(student, texts, place)
        child.end()
        starts.append(child.start)
    medians = {
        key: statistics.median(start[key] for start in starts) for key in starts[0] if key.endswith("_ms")
    }
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "NUMBA_CACHE_DIR": empty}
        code = "import time; s = time.perf_counter(); import textcnn; print(time.perf_counter() - s)"
        output = subprocess.run(
            [sys.executable, "-c", code], cwd=_REPOSITORY, env=environment, capture_output=True, text=True,
            check=True,
        ).stdout  # fmt: skip
    return {**medians, "import_with_empty_cache_ms": float(output) * 1e3}


def _main(student: str, texts: str, core: str) -> None:
    pin(int(core))
    started = time.perf_counter()
    from textcnn import Student  # here, as its import is measured

    imported = time.perf_counter()
    resident = memory(os.getpid())
    loading = time.perf_counter()
    loaded = Student.load(student)
    loaded.score(["first text"])
    scored = time.perf_counter()
    _say(import_ms=(imported - started) * 1e3, load_to_first_score_ms=(scored - loading) * 1e3, **resident)
    import pyarrow as pa

    with pa.memory_map(texts) as source:
        array = pa.ipc.open_file(source).read_all().column("text").combine_chunks()
        for line in sys.stdin:
            seconds, count, start = float(line), 0, time.perf_counter()
            while (elapsed := time.perf_counter() - start) < seconds:
                loaded.score(array).argmax(1)
                count += len(array)
            _say(texts_per_second=count / elapsed)


def _say(**numbers: float) -> None:
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
