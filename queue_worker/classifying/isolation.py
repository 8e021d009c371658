"""A shard that failed again and again: find the rows that nothing can classify, and deliver the rest.

The texts are classified in a process of its own, range by range. A range that raises an error, or over
which the process dies or takes too long, is divided until single rows are found; these become bad rows.
"""

import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from pingti.corpus.reader import BadRow, Columns
from pingti.errors import InputError, PingtiError
from pingti.inference.classifier import Classifier, Second
from pingti.inference.pins import Pin
from pingti.inference.results import with_carried
from pingti.workspace.registry import Workspace
from queue_worker.classifying.bad_rows import BadRows, Check
from queue_worker.classifying.planning import BATCH_ROWS, shard_batches
from queue_worker.classifying.shards import job_folder, write_part
from queue_worker.jobs.models import Done, Job
from queue_worker.processes.line_process import LineProcess
from queue_worker.settings import Settings

CHILD = (sys.executable, "-P", "-m", "queue_worker.classifying.isolation")
_PARTS = 16  # into which a range that fails is divided: each division may cost a process
_MOST_BAD = 1000  # rows of a shard; more are the student's fault
_MOST_STARTS = 200
_RANGE_SECONDS = 300.0  # without the teacher's, where one is asked about some of the rows
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
    second: Second | None = None,
) -> Done:
    """As ``shards.classify_shard``, with rows that cannot be classified among the bad ones.

    ``second``: is asked, in this process, about the rows of which a student is not sure.

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
            with _Child(settings, job, work, command, check, second) as child:
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


class _Late(Exception):
    """The classifier took too long over a range."""


class _Child:
    """The process that classifies ranges of the rows in a folder; a new one when it dies."""

    def __init__(
        self,
        settings: Settings,
        job: Job,
        work: Path,
        command: tuple[str, ...],
        check: Check,
        second: Second | None,
    ) -> None:
        self._work, self._command, self._check, self._second = work, command, check, second
        pins = _PINS.dump_python(job.pins, mode="json")
        columns = asdict(job.columns)
        task = {"home": str(settings.home), "work": str(work), "pins": pins, "columns": columns}
        self._task = {**task, "asks_teacher": second is not None}
        self._process: LineProcess | None = None
        self._starts = 0

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def classify(self, start: int, stop: int) -> tuple[Path, str | None]:
        """The file of the range's results, and why there is none."""
        process = self._process or self._start()
        path = self._work / f"{start}-{stop}.arrow"
        try:
            answer = self._ask(process, {"start": start, "stop": stop, "name": path.name})
        except _Late:
            self._end()
            return path, f"the classifier took longer than {_RANGE_SECONDS:g} s over it"
        if answer is None:
            code = self._fault()
            ended = "gave no answer" if code is None else f"signal {-code}" if code < 0 else f"code {code}"
            return path, f"the classifier died over it ({ended})"
        if "fatal" in answer:
            raise PingtiError(answer["fatal"])
        return path, answer.get("error")

    def _start(self) -> LineProcess:
        self._starts += 1
        if self._starts > _MOST_STARTS:
            raise InputError(f"the classifier died {_MOST_STARTS} times over the rows of one shard")
        self._process = process = LineProcess(self._command, log=False)
        try:
            answer = self._ask(process, self._task)
        except _Late:
            answer = None
        if answer is None or "fatal" in answer:
            code = self._fault()
            raise PingtiError(answer["fatal"] if answer else f"the classifier did not start (code {code})")
        return process

    def _ask(self, process: LineProcess, question: dict[str, Any]) -> dict[str, Any] | None:
        """The process's answer, after those that the teacher gave it; None when it dies."""
        answer = process.ask(question, self._in_time())
        while answer is not None and "texts" in answer:
            assert self._second is not None
            labels = list(self._second(Pin(**answer["pin"]), answer["texts"]))
            answer = process.ask({"labels": labels}, self._in_time())
        return answer

    def _in_time(self) -> Check:
        deadline = time.monotonic() + _RANGE_SECONDS

        def check() -> None:
            self._check()
            if time.monotonic() > deadline:
                raise _Late

        return check

    def _fault(self) -> int | None:
        """End a process that gave no answer; returns the code that it had ended with by itself."""
        process, self._process = self._process, None
        return None if process is None else process.fault()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()


def main() -> int:
    """The other process: a task's line on standard input, then ranges; a line of JSON for each.

    Before the answer to a range it may ask for what a teacher says of texts, whose line of labels comes then.
    """

    def answer(**words: Any) -> None:
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()

    def ask_teacher(pin: Pin, texts: list[str]) -> list[str | None]:
        answer(pin=asdict(pin), texts=texts)
        labels: list[str | None] = json.loads(sys.stdin.readline())["labels"]
        return labels

    try:
        task = json.loads(sys.stdin.readline())
        work = Path(task["work"])
        classifier = Classifier.load(Workspace(task["home"]), _PINS.validate_python(task["pins"]))
        if task["asks_teacher"]:
            classifier = classifier.asking(ask_teacher)
        columns = _COLUMNS.validate_python(task["columns"])
        rows = _rows(work)
    except Exception as error:
        answer(fatal=f"the classifier cannot be made ready: {_sentence(error)}")
        return 1
    answer()
    for line in sys.stdin:
        part = json.loads(line)
        start, stop = part["start"], part["stop"]
        some = rows.slice(start, stop - start).to_batches()
        try:
            classified = [with_carried(classifier.classify(batch), batch, columns) for batch in some]
            if sum(batch.num_rows for batch in classified) != stop - start:
                raise PingtiError("the classifier gave another number of rows")
        except Exception as error:
            answer(error=f"it cannot be classified: {_sentence(error)}")
            continue
        try:
            with (
                pa.OSFile(str(work / part["name"]), "wb") as file,
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
