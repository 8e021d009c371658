"""A shard that failed again and again: find the rows that nothing can classify, and deliver the rest.

The texts are classified in a process of its own, range by range. A range that raises an error, or over
which the process dies or takes too long, is divided until single rows are found; these become bad rows.
"""

import itertools
import json
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
from pydantic import TypeAdapter

from pingti.corpus.reader import BadRow, Columns
from pingti.errors import InputError, PingtiError, UnavailableError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Pin
from pingti.inference.results import with_carried
from pingti.workspace.registry import Workspace
from queue_worker.classifying.bad_rows import BadRows, Check
from queue_worker.classifying.planning import BATCH_ROWS, shard_batches
from queue_worker.classifying.shards import job_folder, write_part
from queue_worker.classifying.teachers import TeacherProcess
from queue_worker.jobs.models import Done, Job
from queue_worker.processes.launcher import guarded
from queue_worker.settings import Settings

CHILD = (sys.executable, "-P", "-m", "queue_worker.classifying.isolation")
_PARTS = 16  # into which a range that fails is divided: each division may cost a process
_MOST_BAD = 1000  # rows of a shard; more are the student's fault
_MOST_STARTS = 200
_RANGE_SECONDS = 300.0
_TEACHER_SECONDS = 3600.0  # the same where a teacher is asked about some of the rows
_LOOK_SECONDS = 0.2
_ROWS = "rows.arrow"

_PINS = TypeAdapter(tuple[Pin, ...])
_COLUMNS = TypeAdapter(Columns)


def classify_isolated(
    settings: Settings,
    job: Job,
    shard: int,
    source: str | None,
    check: Check,
    *,
    command: tuple[str, ...] = CHILD,
    folder: Path | None = None,
    asks_teacher: bool = False,
) -> Done:
    """As ``shards.classify_shard``, with rows that cannot be classified among the bad ones.

    Raises:
        InputError: there are too many of those.
    """
    bad = BadRows(check)
    folder = folder or job_folder(settings, job.id)
    folder.mkdir(parents=True, exist_ok=True)
    schema = Classifier.load(Workspace(settings.home), job.pins).schema
    with TemporaryDirectory(prefix=".careful-", dir=folder) as name:
        work = Path(name)
        good: list[Path] = []
        batches = shard_batches(settings, job, shard, source, bad, check)
        if _write_rows(work / _ROWS, batches, check):
            with _Child(settings, job, work, command, check, asks_teacher=asks_teacher) as child:
                good = list(_divide(child, _rows(work), job, shard, bad))

        def scored() -> Iterator[pa.RecordBatch]:
            for path in good:
                with pa.ipc.open_file(str(path)) as reader:
                    yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
                check()

        bad.rows.sort(key=lambda row: (job.inputs.index(row.file), row.row))
        return write_part(folder, job, shard, schema, scored(), bad)


def _write_rows(path: Path, batches: Iterator[pa.RecordBatch], check: Check) -> bool:
    """Write batches to a file as they come; False where there are none."""
    first = next(batches, None)
    if first is None:
        return False
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, first.schema) as writer:
        for batch in itertools.chain([first], batches):
            writer.write_batch(batch)
            check()
    return True


def _rows(work: Path) -> pa.Table:
    """The rows that both processes look at, mapped: a shard can be larger than the memory."""
    return pa.ipc.open_file(pa.memory_map(str(work / _ROWS))).read_all()


def _divide(child: "_Child", rows: pa.Table, job: Job, shard: int, bad: BadRows) -> Iterator[Path]:
    """Files of the results of all rows but those that are bad, in their order."""
    starts = range(0, rows.num_rows, BATCH_ROWS)
    waiting = [(start, min(start + BATCH_ROWS, rows.num_rows)) for start in starts][::-1]
    bad_rows = 0
    while waiting:
        start, stop = waiting.pop()
        path, reason = child.classify(start, stop)
        if reason is None:
            yield path
        elif stop - start > 1:
            step = max(1, (stop - start) // _PARTS)
            parts = [(at, min(at + step, stop)) for at in range(start, stop, step)]
            waiting += parts[::-1]
        else:
            (row,) = rows.slice(start, 1).select(["file", "row", "id"]).to_pylist()
            bad(BadRow(file=job.inputs[row["file"]], row=row["row"], id=row["id"], reason=reason))
            bad_rows += 1
            if bad_rows > _MOST_BAD:
                raise InputError(
                    f"more than {_MOST_BAD} rows of shard {shard} cannot be classified; of the last: {reason}"
                )


class _Child:
    """The process that classifies ranges of the rows in a folder; a new one when it dies."""

    def __init__(
        self,
        settings: Settings,
        job: Job,
        work: Path,
        command: tuple[str, ...],
        check: Check,
        *,
        asks_teacher: bool,
    ) -> None:
        self._seconds = _TEACHER_SECONDS if asks_teacher else _RANGE_SECONDS
        self._work, self._command, self._check = work, command, check
        pins = _PINS.dump_python(job.pins, mode="json")
        columns = asdict(job.columns)
        task = {"home": str(settings.home), "work": str(work), "pins": pins, "columns": columns}
        self._task = json.dumps({**task, "asks_teacher": asks_teacher})
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def classify(self, start: int, stop: int) -> tuple[Path, str | None]:
        """The file of the range's results, and why there is none."""
        if self._process is None:
            self._start()
        path = self._work / f"{start}-{stop}.arrow"
        answer = self._ask(f"{start} {stop} {path.name}")
        if answer is None:
            return path, self._fault()
        if "unavailable" in answer:
            raise UnavailableError(answer["unavailable"])
        if "fatal" in answer:
            raise PingtiError(answer["fatal"])
        return path, answer.get("error")

    def _start(self) -> None:
        self._starts += 1
        if self._starts > _MOST_STARTS:
            raise InputError(f"the classifier died {_MOST_STARTS} times over the rows of one shard")
        self._process = subprocess.Popen(
            guarded(self._command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        answer = self._ask(self._task)
        if answer is None or "fatal" in answer:
            code = self._end()
            raise PingtiError(answer["fatal"] if answer else f"the classifier did not start (code {code})")

    def _ask(self, line: str) -> dict[str, str] | None:
        """The process's answer; None when it dies, or gives none in time."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None  # noqa: PT018
        deadline = time.monotonic() + self._seconds
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(_LOOK_SECONDS):
                self._check()
                if time.monotonic() > deadline:
                    return None
        answer = process.stdout.readline()  # whole lines are written at once
        return json.loads(answer) if answer.endswith(b"\n") else None

    def _fault(self) -> str:
        process = self._process
        with suppress(subprocess.TimeoutExpired):
            if process is not None:
                process.wait(1)
        code = self._end()
        if code is None:
            return f"the classifier took longer than {self._seconds:g} s over it"
        return f"the classifier died over it ({f'signal {-code}' if code < 0 else f'code {code}'})"

    def _end(self) -> int | None:
        """End the process; returns the code that it had ended with by itself."""
        process, self._process = self._process, None
        if process is None:
            return None
        code = process.poll()
        if code is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        return code


def main() -> int:
    """The other process: a task's line on standard input, then ranges; a line of JSON for each."""

    def answer(**words: str) -> None:
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()

    try:
        task = json.loads(sys.stdin.readline())
        work = Path(task["work"])
        classifier = Classifier.load(Workspace(task["home"]), _PINS.validate_python(task["pins"]))
        if task["asks_teacher"]:
            classifier = classifier.asking(TeacherProcess(Path(task["home"]), lambda: None))
        columns = _COLUMNS.validate_python(task["columns"])
        rows = _rows(work)
    except Exception as error:
        answer(fatal=f"the classifier cannot be made ready: {_sentence(error)}")
        return 1
    answer()
    for line in sys.stdin:
        start, stop, name = line.split()
        some = rows.slice(int(start), int(stop) - int(start)).to_batches()
        try:
            classified = [with_carried(classifier.classify(batch), batch, columns) for batch in some]
            if sum(batch.num_rows for batch in classified) != int(stop) - int(start):
                raise PingtiError("the classifier gave another number of rows")
        except UnavailableError as error:  # the teacher: no row's fault, and it may be had later
            answer(unavailable=_sentence(error))
            return 1
        except Exception as error:
            answer(error=f"it cannot be classified: {_sentence(error)}")
            continue
        try:
            with (
                pa.OSFile(str(work / name), "wb") as file,
                pa.ipc.new_file(file, classified[0].schema) as writer,
            ):
                for batch in classified:
                    writer.write_batch(batch)
        except Exception as error:
            answer(fatal=_sentence(error))
            return 1
        answer()
    return 0


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
