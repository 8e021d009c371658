"""What a teacher answered, on disk: no text is scored twice, whatever is killed in between.

A cache is a folder of Arrow IPC files ("segments") that never change once they are there::

    <folder>/<fingerprint>/00000003-9f86d081884c7d659a2feaa0c55ad015.arrow

The name holds a running number and the BLAKE2b-128 of the file's bytes, so a damaged file is found out.
A row is the BLAKE2b-128 of a text's UTF-8 bytes, probabilities in float32 and the [CLS] vector in
**float16**: half the size, and neighbours are found by it all the same. Fresh answers are rounded the
same way before they are returned, so a row has the same bits whether it was cached or not.

Several processes may use one cache: a lock is held while a segment is written, and a text that another
process has stored meanwhile keeps the answer that was stored first.

Beside the segments lie the vectors of the tokens of the vocabularies asked about last, in float32::

    <folder>/<fingerprint>/tokens-<BLAKE2b-128 of the tokens>-<that of the file's bytes>.safetensors
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pingti.errors import ArtifactError
from pingti.files import locked, replacing
from teacher.protocol import AnswerCache, Scored
from teacher.texts import check_texts

if TYPE_CHECKING:  # torch only where a model answers: an endpoint's answers are kept here, too
    from teacher.bert import Description, Teacher

_log = logging.getLogger(__name__)

_FORMAT = 1
_KEY_BYTES = 16
# Rows scored between two writes: what a kill can lose, a few seconds of a CPU's work.
_CHUNK = 512
# On opening, segments of less than a chunk are joined once there are too many of them. Full chunks are left
# alone: reading a file costs about 0.2 ms, so that a million rows are 0.4 s.
_SMALL_SEGMENTS = 64
_JOINED_ROWS = 8192
# Vocabularies whose token vectors are kept, those written last: some 50 MB each for BERT-base.
_VOCABULARIES = 4


class ScoreCache:
    """The stored answers of one teacher; ``open`` makes one that knows what the folder holds.

    Rows are numbered in the order in which they were read.

    Args:
        folder: of this teacher's segments.
        fingerprint: the teacher's.
        labels: the teacher's, in the order of the columns of probabilities.
        hidden: width of a [CLS] vector; 0: the teacher has none, and none is stored.
        most: answers that are kept, about; the oldest segments go where there are more. All where absent.
    """

    def __init__(
        self, folder: Path, fingerprint: str, labels: Sequence[str], hidden: int, *, most: int | None = None
    ) -> None:
        self.folder = folder
        self._most = most
        self.labels = tuple(labels)
        self.hidden = hidden
        metadata = {
            b"pingti.format": str(_FORMAT).encode(),
            b"pingti.fingerprint": fingerprint.encode(),
            b"pingti.labels": json.dumps(self.labels, ensure_ascii=False).encode(),
        }
        fields = [
            pa.field("key", pa.binary(_KEY_BYTES), nullable=False),
            pa.field("probabilities", pa.list_(pa.float32(), len(self.labels)), nullable=False),
        ]
        if hidden:
            fields.append(pa.field("vector", pa.list_(pa.float16(), hidden), nullable=False))
        self._schema = pa.schema(fields, metadata=metadata)
        self._rows: dict[bytes, int] = {}
        self._segments: list[pa.RecordBatch] = []
        self._starts: list[int] = [0]  # number of each segment's first row; the last is that of the next
        self._seen: set[str] = set()

    @classmethod
    def open(
        cls,
        folder: Path,
        fingerprint: str,
        labels: Sequence[str],
        hidden: int,
        *,
        name: str | None = None,
        most: int | None = None,
    ) -> "ScoreCache":
        """Open ``folder/fingerprint``, made if it is not there, and read which rows it holds.

        Segments that are damaged are set aside under the suffix ``.damaged`` with a warning in the log;
        their rows are missing then.

        Args:
            folder: where caches are, one sub-folder a fingerprint (``<workspace>/teachers``).
            fingerprint: as of the class, like ``labels`` and ``hidden``.
            labels: the teacher's.
            hidden: width of a [CLS] vector.
            name: of the sub-folder, where it is not the fingerprint.
            most: as of the class.

        Raises:
            ArtifactError: a segment is of a newer format, or of a model with other labels or another width.
        """
        cache = cls(folder / (name or fingerprint), fingerprint, labels, hidden, most=most)
        cache.folder.mkdir(parents=True, exist_ok=True)
        with locked(cache.folder / "lock"):
            # Who writes holds the lock, so an unfinished file is one that a killed process left.
            for pattern in (".*.arrow.*", ".*.safetensors.*"):
                for path in cache.folder.glob(pattern):
                    path.unlink()
            cache._join_small_segments()
            cache._refresh()
        return cache

    def __len__(self) -> int:
        return len(self._rows)

    @staticmethod
    def key(text: str) -> bytes:
        """Hash a text into the 16 bytes under which it is stored."""
        return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).digest()

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """Find the row numbers of keys, int64 (keys,), -1 where a key is missing."""
        rows = self._rows
        return np.fromiter((rows.get(key, -1) for key in keys), dtype=np.int64, count=len(keys))

    def get(self, rows: NDArray[np.int64]) -> Scored:
        """Read the stored answers of rows that ``find`` gave (none of them -1)."""
        probabilities = np.empty((len(rows), len(self.labels)), dtype=np.float32)
        vectors = np.empty((len(rows), self.hidden), dtype=np.float32)
        segments = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(segments, kind="stable")
        for at in np.split(order, np.flatnonzero(np.diff(segments[order])) + 1):
            if len(at):
                segment = self._segments[segments[at[0]]]
                local = rows[at] - self._starts[segments[at[0]]]
                probabilities[at] = _matrix(segment["probabilities"])[local]
                if self.hidden:
                    vectors[at] = _matrix(segment["vector"])[local]
        return Scored(probabilities, vectors)

    def add(self, keys: Sequence[bytes], scored: Scored) -> None:
        """Store answers durably: on return they survive a power loss.

        Keys that are there already, from this or another process, keep the answer that they have.
        """
        with locked(self.folder / "lock"):
            self._refresh()
            new = [index for index, key in enumerate(keys) if key not in self._rows]
            if new:
                self._write(self._batch([keys[index] for index in new], scored, new))
                self._make_room()
            self._refresh()

    def refresh(self) -> None:
        """Take note of what other processes have stored since."""
        with locked(self.folder / "lock"):
            self._refresh()

    def token_vectors(self, tokens: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """The stored vectors of a vocabulary's tokens, as of ``Teacher.token_vectors``; None: not there.

        A file that is damaged is removed with a warning in the log.
        """
        for path in sorted(self.folder.glob(f"tokens-{_digest(tokens)}-*.safetensors")):
            try:
                data = path.read_bytes()
                if f"{_checksum(pa.py_buffer(data))}.safetensors" == path.name.rsplit("-", 1)[1]:
                    vectors = load(data)
                    return vectors["inputs"], vectors["outputs"]
            except FileNotFoundError:
                continue  # another process has removed it
            except (SafetensorError, KeyError):
                pass
            _log.warning("%s is damaged and was removed; the teacher will compute its vectors again", path)
            path.unlink(missing_ok=True)
        return None

    def add_token_vectors(
        self, tokens: Sequence[str], inputs: NDArray[np.float32], outputs: NDArray[np.float32]
    ) -> None:
        """Store the vectors of a vocabulary's tokens durably; those of the oldest vocabularies go.

        Args:
            tokens: n of them.
            inputs: float32 (n, width of the input embeddings).
            outputs: float32 (n, hidden).
        """
        data = save({"inputs": np.ascontiguousarray(inputs), "outputs": np.ascontiguousarray(outputs)})
        name = f"tokens-{_digest(tokens)}-{_checksum(pa.py_buffer(data))}.safetensors"
        with locked(self.folder / "lock"):
            with replacing(self.folder / name) as temporary:
                temporary.write_bytes(data)
            stored = sorted(
                self.folder.glob("tokens-*.safetensors"), key=lambda path: path.stat().st_mtime_ns
            )
            for path in stored[:-_VOCABULARIES]:
                path.unlink()

    # ---- segments ---------------------------------------------------------------------------------

    def _batch(self, keys: list[bytes], scored: Scored, rows: list[int]) -> pa.RecordBatch:
        # Beyond float16's range there is no neighbour to be found anyway; infinity would spoil distances.
        limit = float(np.finfo(np.float16).max)
        vectors = scored.vectors[rows].clip(-limit, limit).astype(np.float16)
        columns = [
            pa.array(keys, pa.binary(_KEY_BYTES)),
            _list_array(scored.probabilities[rows].astype(np.float32)),
            *([_list_array(vectors)] if self.hidden else []),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _write(self, batch: pa.RecordBatch) -> None:
        """Write one segment (the lock is held)."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, self._schema) as writer:
            writer.write_batch(batch)
        data = sink.getvalue()
        numbers = [int(name.split("-")[0]) for name in self._names()]
        name = f"{max(numbers, default=0) + 1:08d}-{_checksum(data)}.arrow"
        with replacing(self.folder / name) as temporary:
            temporary.write_bytes(data)

    def _make_room(self) -> None:
        """Remove the oldest segments where there are too many answers (the lock is held).

        What this process has mapped of them it still reads. The newest stays, whatever its size.
        """
        if self._most is None:
            return
        kept = 0
        row_bytes = _KEY_BYTES + 4 * len(self.labels) + 2 * self.hidden
        for number, name in enumerate(reversed(self._names())):
            kept += (self.folder / name).stat().st_size // row_bytes  # a little more than the rows
            if number and kept > self._most:
                (self.folder / name).unlink()

    def _names(self) -> list[str]:
        """Names of the segments, oldest first."""
        return sorted(path.name for path in self.folder.glob("[0-9]*-*.arrow"))

    def _refresh(self) -> None:
        """Read segments that are new since the last time (the lock is held)."""
        for name in self._names():
            if name in self._seen:
                continue
            self._seen.add(name)
            batch = self._read(name)
            if batch is not None:
                start = self._starts[-1]
                for row, key in enumerate(_keys(batch), start):
                    self._rows.setdefault(key, row)
                self._segments.append(batch)
                self._starts.append(start + batch.num_rows)

    def _read(self, name: str) -> pa.RecordBatch | None:
        """One segment, mapped into memory; None where it is damaged."""
        path = self.folder / name
        # A mapping of no bytes is refused by the system: an empty file is damaged without a look.
        data = pa.memory_map(str(path)).read_buffer() if path.stat().st_size else pa.py_buffer(b"")
        if f"{_checksum(data)}.arrow" != name.split("-")[1]:
            _log.warning(
                "%s is damaged and was set aside as %s.damaged; the teacher will score its rows again",
                path,
                name,
            )
            path.rename(path.with_name(f"{name}.damaged"))
            return None
        reader = pa.ipc.open_file(data)
        version = (reader.schema.metadata or {}).get(b"pingti.format", b"?").decode()
        if version != str(_FORMAT):
            raise ArtifactError(
                f"{path}: its format is {version} and this Pingti reads {_FORMAT}; update Pingti"
            )
        if not reader.schema.equals(self._schema, check_metadata=True):
            raise ArtifactError(
                f"{path}: it is of a model with other labels or vectors than {', '.join(self.labels)} and "
                f"{self.hidden} numbers; remove the folder to score anew"
            )
        return reader.get_batch(0)

    def _join_small_segments(self) -> None:
        """Write the rows of many small segments into few (the lock is held).

        Killed in the middle, it leaves rows twice, with the same answers, until the next time.
        """
        small = [(name, batch) for name in self._names() if (batch := self._read_if_small(name)) is not None]
        if len(small) <= _SMALL_SEGMENTS:
            return
        group: list[tuple[str, pa.RecordBatch]] = []
        for index, item in enumerate(small):
            group.append(item)
            if sum(batch.num_rows for _, batch in group) >= _JOINED_ROWS or index == len(small) - 1:
                self._write(pa.concat_batches([batch for _, batch in group]))
                for name, _ in group:
                    (self.folder / name).unlink()
                group = []

    def _read_if_small(self, name: str) -> pa.RecordBatch | None:
        row_bytes = _KEY_BYTES + 4 * len(self.labels) + 2 * self.hidden
        if (self.folder / name).stat().st_size >= row_bytes * _CHUNK:
            return None
        return self._read(name)


class CachedTeacher:
    """A teacher that is asked only about texts that its cache does not hold; ``open`` makes one.

    Args:
        teacher: loaded, or its description: the weights are then loaded, with ``device`` and ``threads``,
            when a text is missing from the cache.
        cache: of this teacher.
        device: a torch device; None takes CUDA where there is one, else the CPU.
        threads: CPU threads that scoring uses; None leaves torch's number.
    """

    def __init__(
        self,
        teacher: "Teacher | Description",
        cache: AnswerCache,
        *,
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.labels = teacher.labels
        self.hidden = teacher.hidden
        self.fingerprint = teacher.fingerprint
        self.rows_scored = 0
        """Rows that this object had the teacher compute; cached rows and equal texts are free."""
        self._teacher = teacher
        self._device = device
        self._threads = threads
        self._cache = cache

    @classmethod
    def open(
        cls,
        teacher: "Teacher | Description",
        folder: Path,
        *,
        device: str | None = None,
        threads: int | None = None,
    ) -> "CachedTeacher":
        """Open the cache of a teacher.

        Args:
            teacher: as of the class, like ``device`` and ``threads``.
            folder: where caches are, one sub-folder a fingerprint (``<workspace>/teachers``).
            device: a torch device.
            threads: CPU threads that scoring uses.

        Raises:
            ArtifactError: as of ``ScoreCache.open``.
        """
        cache = ScoreCache.open(folder, teacher.fingerprint, teacher.labels, teacher.hidden)
        return cls(teacher, cache, device=device, threads=threads)

    def cached(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which of n texts would be answered without the teacher; bool (n,)."""
        check_texts(texts)
        return self._cache.find([ScoreCache.key(text) for text in texts]) >= 0

    def score(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Scored:
        """Score n texts as ``Teacher.score`` does; vectors are rounded to float16.

        Missing texts are computed 512 at a time, in the order in which they first come, and each such
        chunk is on disk before the next begins. A run that is killed and started again therefore goes on
        at a border of chunks, and ends with the same bits as an undisturbed one.
        """
        check_texts(texts)
        keys = [ScoreCache.key(text) for text in texts]
        missing: dict[bytes, str] = {}
        waiting: dict[bytes, int] = {}  # rows of each missing text
        for key, text, row in zip(keys, texts, self._cache.find(keys).tolist(), strict=True):
            if row < 0:
                missing.setdefault(key, text)
                waiting[key] = waiting.get(key, 0) + 1
        if progress is not None and len(keys) > sum(waiting.values()):
            progress(len(keys) - sum(waiting.values()))
        todo = list(missing)
        for start in range(0, len(todo), _CHUNK):
            chunk = todo[start : start + _CHUNK]
            self._compute({key: missing[key] for key in chunk})
            if progress is not None:
                progress(sum(waiting[key] for key in chunk))
        return self._cache.get(self._cache.find(keys))

    def token_vectors(
        self, tokens: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give the vectors of tokens that ``Teacher.token_vectors`` computes; stored ones cost nothing."""
        check_texts(tokens)
        stored = self._cache.token_vectors(tokens)
        if stored is None:
            stored = self._loaded().token_vectors(tokens, progress=progress)
            self._cache.add_token_vectors(tokens, *stored)
        elif progress is not None:
            progress(len(tokens))
        return stored

    def _loaded(self) -> "Teacher":
        from teacher.bert import Description, Teacher

        if isinstance(self._teacher, Description):
            self._teacher = Teacher.load_described(self._teacher, device=self._device, threads=self._threads)
        return self._teacher

    def _compute(self, texts: dict[bytes, str]) -> None:
        # Another process may have come here first.
        self._cache.refresh()
        keys = [
            key for key, row in zip(texts, self._cache.find(list(texts)).tolist(), strict=True) if row < 0
        ]
        if keys:
            self._cache.add(keys, self._loaded().score([texts[key] for key in keys]))
            self.rows_scored += len(keys)


def _digest(tokens: Sequence[str]) -> str:
    return hashlib.blake2b(json.dumps(list(tokens)).encode(), digest_size=16).hexdigest()


def _checksum(data: pa.Buffer) -> str:
    return hashlib.blake2b(memoryview(data), digest_size=16).hexdigest()


def _keys(batch: pa.RecordBatch) -> Iterator[bytes]:
    data = batch["key"].buffers()[1].to_pybytes()
    return (data[at : at + _KEY_BYTES] for at in range(0, _KEY_BYTES * batch.num_rows, _KEY_BYTES))


def _matrix(column: pa.FixedSizeListArray) -> NDArray[np.floating]:
    """(rows, width) view of a column without nulls."""
    values: NDArray[np.floating] = column.flatten().to_numpy(zero_copy_only=True)
    return values.reshape(len(column), column.type.list_size)


def _list_array(matrix: NDArray[np.floating]) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(matrix).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])
