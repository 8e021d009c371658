"""Accept a job: check all of it, fix its student versions, store it durably, then wake a worker."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import redis
from kombu.exceptions import OperationalError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from pingti.corpus.columns import Quoting, known_encoding, one_character
from pingti.corpus.formats import format_of, open_binary
from pingti.corpus.kept import Carrying, Types, types_in
from pingti.corpus.reader import Columns, check_input
from pingti.errors import ConflictError, Fault, InputError, NotFoundError, json_pointer
from pingti.inference.pins import Choice, Pin, pin, twice
from pingti.inference.results import check_keep
from pingti.rest_models import MOST_INPUTS
from pingti.workspace.registry import Workspace
from pingti.workspace.storage import Storage, students, tables
from queue_worker.celery_app import make_celery
from queue_worker.jobs.inputs import input_files
from queue_worker.jobs.models import Accepted, Job
from queue_worker.jobs.publishing import publish
from queue_worker.jobs.store import JobStore
from queue_worker.objects.inputs import (
    MOST_OBJECTS,
    allowed_objects,
    allowed_output,
    is_object,
    local_input,
    named,
)
from queue_worker.settings import FileStamp, Settings
from queue_worker.telemetry import traces

_log = logging.getLogger(__name__)
_LAYOUT = ("delimiter", "quoting", "escape", "encoding")  # fields of a request that Columns has, too
_MESSAGE_SECONDS = (
    2.0  # that the broker is waited for with a message, which the reaper publishes if it is lost
)
_LOOKED_INTO = 32  # objects of an input at its submission, which somebody waits for
_MOST_KNOWN = 256  # requests whose pins are kept

_Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]


def _count_or_share(value: object) -> object:
    """The value, if bad rows can be allowed by it; else what of two types it is not would be said twice."""
    if isinstance(value, float):
        allowed = 0 <= value <= 1
    else:
        allowed = value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)
    if not allowed:
        raise ValueError("needed is a count of rows, such as 100, or a share of them, such as 0.05")
    return value


class JobRequest(BaseModel):
    """What to classify, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[str, ...] = Field(
        min_length=1,
        max_length=MOST_INPUTS,
        description="Files (.parquet, .jsonl, .csv, .tsv; the last three also .gz) below the allowed "
        "folders; a relative path counts from the workspace. A folder stands for the files in it and in its "
        f"folders, a pattern (*, ?, [a-z], **) for what it matches: {MOST_INPUTS:,} files in all, in order "
        f"of their names. The same in object stores, below allowed addresses: {MOST_OBJECTS:,} objects.",
    )
    tasks: tuple[str, ...] = Field(
        min_length=1,
        max_length=1000,
        description='Label tasks: "task", or "task@scene" for one of its operating points; each may end in '
        '"#version", else it is the student in use now.',
    )
    priority: int | None = Field(
        default=None,
        ge=0,
        le=9,
        strict=True,
        description="0 runs first; absent: the most urgent of the tasks' own.",
    )
    metadata: dict[_Key, _Value] = Field(default_factory=dict, max_length=16, description="Your own notes.")
    text: str = Field(default="text", min_length=1, description="Column of the texts.")
    id: str | None = Field(default=None, description="Column of the ids; absent: the row's number.")
    keep: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(
        default=(),
        max_length=100,
        description="Further columns that go along into the results, in their types: text, numbers, "
        "booleans, dates, times. Of a partitioned table also those of its folders' names.",
    )
    delimiter: Annotated[str, AfterValidator(one_character)] | None = Field(
        default=None, description="CSV, TSV: what separates fields; absent: by the file's name and header."
    )
    quoting: Quoting = Field(
        default="auto", description="CSV, TSV: whether fields stand in quotes. auto: in CSV they do."
    )
    escape: Annotated[str, AfterValidator(one_character)] | None = Field(
        default=None, description="CSV, TSV: what stands before a quote in quotes; absent: it is doubled."
    )
    encoding: Annotated[str, AfterValidator(known_encoding)] | None = Field(
        default=None, max_length=40, description='Of text files, such as "gb18030"; absent: UTF-8.'
    )
    output: str | None = Field(
        default=None,
        max_length=1024,
        description="Address of a folder of an object store, below an allowed one, that gets the results as "
        "Parquet parts, with _SUCCESS last; absent: they are kept by the service alone.",
    )
    callback: str | None = Field(
        default=None, min_length=1, max_length=2048, description="Address that is told of the job's end."
    )
    max_bad_rows: Annotated[
        Annotated[int, Field(ge=0, strict=True)] | Annotated[float, Field(ge=0, le=1, strict=True)] | None,
        BeforeValidator(_count_or_share),
    ] = Field(
        default=None,
        description="Bad rows that are allowed (100), or their share of all rows (0.05); with more the job "
        "fails. Absent: any but all of them.",
    )


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a request comes to."""

    columns: Columns
    inputs: tuple[str, ...]  # real paths of the files
    stamps: tuple[FileStamp, ...]  # of the inputs
    rows: int  # 0 where an input does not tell without being read
    pins: tuple[Pin, ...]
    priority: int
    output: str | None = None


def submit(
    request: JobRequest,
    settings: Settings,
    store: JobStore,
    *,
    idempotency_key: str | None = None,
    owner: str | None = None,
    row_limit: int | None = None,
    locate: Callable[[str], str] = str,
    identify: Callable[[str], str] = str,
    admit: Callable[[Checked], None] = lambda checked: None,
) -> Job:
    """Accept a job, or return the one that the same key (of the same owner) made before.

    The job is on the server's disk before its message is published; where that fails, the scheduler does it.

    Args:
        request: what is asked for.
        settings: which files may be read, and where the tasks are.
        store: where the job is kept.
        idempotency_key: a text of the caller's; with the same request it gives the same job again.
        owner: name of the key that submits.
        row_limit: most rows of the owner's unfinished jobs; any where absent. What the inputs tell of their
            rows now is for ``admit``; a worker counts the others.
        locate: makes a path of an input that is none.
        identify: what an input holds; where it is the same (a file sent twice), so is the request.
        admit: may refuse what was checked, by its own error.

    Raises:
        InputError: something cannot be used; the fault's pointer says where in the request.
        UnavailableError: the job cannot be made durable.
    """
    fingerprint = ""
    if idempotency_key is not None:
        if not 1 <= len(idempotency_key) <= 255:
            raise InputError("an idempotency key must have 1 to 255 characters")
        fingerprint = _fingerprint(request, identify)
        known = store.find_idempotent(idempotency_key, fingerprint, owner=owner)
        if known is not None:
            store.confirm(known.id, settings)  # the first answer may have been that the disk did not
            return known
    checked = validate(request, settings, locate=locate)
    admit(checked)
    if settings.storage is not None:  # workers may have no other way to the students
        students.publish(Workspace(settings.home), checked.pins, settings.storage)
    accepted = store.create(
        inputs=checked.inputs,
        stamps=checked.stamps,
        rows=checked.rows,
        columns=checked.columns,
        output=checked.output,
        pins=checked.pins,
        priority=checked.priority,
        metadata=request.metadata,
        settings=settings,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
        owner=owner,
        callback=request.callback,
        max_bad_rows=request.max_bad_rows,
        row_limit=row_limit,
        trace=traces.current(),
    )
    _publish(settings, accepted)
    return accepted.job


def _publish(settings: Settings, accepted: Accepted) -> None:
    """Publish the message of a job's plan; where that fails, the reaper does it."""
    if not accepted.messages:
        return
    try:
        publish(make_celery(settings, seconds=_MESSAGE_SECONDS), accepted.messages)
    except (OperationalError, redis.RedisError) as error:
        _log.warning("not published job=%s reason=%s", accepted.job.id, error)


def _fingerprint(request: JobRequest, identify: Callable[[str], str]) -> str:
    """Of the request as it is, and of what its inputs hold: equal requests agree in one of the two."""
    contents = request.model_copy(update={"inputs": tuple(map(identify, request.inputs))})
    return f"{_digest(request)} {_digest(contents)}"


def _digest(request: JobRequest) -> str:
    # What is not said is left out: a request of before these fields is the same request.
    later = (*_LAYOUT, "max_bad_rows", "keep", "output")
    unsaid = {name for name in later if getattr(request, name) == JobRequest.model_fields[name].default}
    return hashlib.sha256(request.model_dump_json(exclude=unsaid).encode()).hexdigest()


def validate(request: JobRequest, settings: Settings, *, locate: Callable[[str], str] = str) -> Checked:
    """Check all of a request. Of an input only what the check needs is read, never the rows.

    Args:
        request: what is asked for.
        settings: which files may be read, and where the tasks are.
        locate: makes a path of an input that is none.

    Raises:
        InputError: something cannot be used; the fault's pointer says where in the request.
    """
    layout = {name: getattr(request, name) for name in _LAYOUT}
    columns = Columns(text=request.text, id=request.id, keep=request.keep, **layout)
    pins, urgent = pinned(request.tasks, settings)
    try:
        check_keep(request.keep, pins)
    except InputError as error:
        raise _at("keep", None, str(error).removeprefix("keep: ")) from None
    files: list[_File] = []
    for index in range(len(request.inputs)):
        behind = len(request.inputs) - index - 1  # each of them is a file or more
        most = (MOST_OBJECTS if is_object(request.inputs[index]) else MOST_INPUTS) - len(files) - behind
        files += _checked_files(request, index, columns, settings, locate, most)
    return Checked(
        output=_checked_output(request, settings),
        columns=_with_types(columns, files),
        inputs=tuple(file.path for file in files),
        stamps=tuple(file.stamp for file in files),
        rows=sum(file.rows for file in files) if all(file.rows for file in files) else 0,
        pins=pins,
        priority=urgent if request.priority is None else request.priority,
    )


class _File(NamedTuple):
    """An input that was looked at."""

    path: str  # real
    stamp: FileStamp
    rows: int  # 0 where it does not tell
    types: Types  # of what goes along of it


def _with_types(columns: Columns, files: Iterable[_File]) -> Columns:
    carrying = Carrying(columns)
    for file in files:
        try:
            carrying.add(file.path, file.types)
        except InputError as error:
            raise _at("keep", None, str(error)) from None
    return carrying.columns()


def _checked_files(
    request: JobRequest,
    index: int,
    columns: Columns,
    settings: Settings,
    locate: Callable[[str], str],
    most: int,
) -> Iterator[_File]:
    """The files of one input, ``most`` at most."""
    try:
        given = locate(request.inputs[index])
    except InputError as error:
        raise _at("inputs", index, str(error)) from None
    try:
        if is_object(given):
            yield from _checked_objects(given, columns, settings, most)
            return
        for real in input_files(settings, given, most=most):
            given = real  # the one that an error is about
            # Before the look inside: a file that is exchanged after it is another one.
            stamp = FileStamp.of(real)
            yield _File(real, stamp, *_look_into(real, stamp, columns))
    except InputError as error:
        raise _at("inputs", index, str(error)) from None
    except OSError as error:
        raise _at("inputs", index, f"{given!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _at("inputs", index, f"{given!r}: a column's name is not UTF-8") from None


def _checked_objects(given: str, columns: Columns, settings: Settings, most: int) -> Iterator[_File]:
    """The objects of one input; the first ones are looked into, the others by the job's plan."""
    for number, entry in enumerate(allowed_objects(settings, given, most=most)):
        stamp = FileStamp.of_object(entry)
        rows, types = 0, dict[str, pa.DataType]()
        if number < _LOOKED_INTO:
            place = local_input(settings, entry.address, stamp)
            with named(entry.address, place):
                rows, known = _look_into(place, stamp, columns)
                types = dict(known)
        elif format_of(entry.address) != ".parquet":  # of text, by the name alone
            types = dict(types_in(entry.address, columns))
        yield _File(entry.address, stamp, rows, types)


def _checked_output(request: JobRequest, settings: Settings) -> str | None:
    if request.output is None:
        return None
    try:
        output = allowed_output(settings, request.output)
        tables.refuse_taken(Storage(output))
    except (InputError, ConflictError) as error:
        raise _at("output", None, str(error)) from None
    return output


@lru_cache(maxsize=4096)
def _look_into(path: str, stamp: FileStamp, columns: Columns) -> tuple[int, Types]:
    """Check a file, once for the same one; its rows if it tells them, else 0, and what goes along of it."""
    check_input(path, columns)
    rows = 0
    if path.lower().endswith(".parquet"):
        with open_binary(path) as file:
            rows = int(pq.read_metadata(file).num_rows)
    return rows, types_in(path, columns)


class Pinned(NamedTuple):
    """Tasks of a request, fixed."""

    pins: tuple[Pin, ...]
    urgent: int  # priority of the most urgent task that was asked for


_Watched = tuple[tuple[Path, FileStamp | None], ...]
_known: dict[tuple[Path, tuple[str, ...]], tuple[Pinned, _Watched]] = {}


def pinned(tasks: tuple[str, ...], settings: Settings) -> Pinned:
    """The pins of ``tasks`` ("task@scene#version").

    They are read again only when a file of theirs has changed, as one for each job takes long.

    Raises:
        InputError: a task cannot be had; the fault's pointer says which (``/tasks/0``).
    """
    key = (settings.home, tasks)
    known = _known.get(key)
    if known is not None and all(_stamp(path) == stamp for path, stamp in known[1]):
        return known[0]
    workspace = Workspace(settings.home)
    before = _read_pins(tasks, workspace)
    files = [path for pin in before.pins for path in _files_of(workspace, pin)]
    watched = tuple((path, _stamp(path)) for path in files)
    after = _read_pins(tasks, workspace)
    if after == before:  # else a student was promoted between two of these lines
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[key] = (after, watched)
    return after


def _files_of(workspace: Workspace, pin: Pin) -> Iterator[Path]:
    entry = workspace.task(pin.task)
    yield entry.path
    yield entry.folder / "current"
    yield entry.student_folder(pin.version) / "student.json"


def _stamp(path: Path) -> FileStamp | None:
    try:
        return FileStamp.of(path)
    except OSError:
        return None


def _read_pins(tasks: tuple[str, ...], workspace: Workspace) -> Pinned:
    choices: list[Choice] = []
    for index, text in enumerate(tasks):
        try:
            choice = Choice.parse(text)
        except InputError as error:
            raise _at("tasks", index, str(error)) from None
        choices.append(choice)
        if problem := twice(choices):
            raise _at("tasks", index, problem)
    try:
        pins = pin(workspace, choices)
    except (NotFoundError, ConflictError) as error:
        raise _at("tasks", _culprit(workspace, choices), str(error)) from None
    return Pinned(pins, min(workspace.task(choice.task).definition.priority for choice in choices))


def _culprit(workspace: Workspace, choices: list[Choice]) -> int | None:
    """Index of the first task that cannot be pinned by itself; None when only all together fail."""
    for index, choice in enumerate(choices):
        try:
            pin(workspace, [choice])
        except (NotFoundError, ConflictError):
            return index
    return None


def _at(field: str, index: int | None, detail: str) -> InputError:
    """The error of an item of a request's list, or of all of the list."""
    place = field if index is None else f"{field}[{index}]"
    pointer = json_pointer([field] if index is None else [field, index])
    return InputError(f"{place}: {detail}", faults=[Fault(detail=detail, pointer=pointer)])
