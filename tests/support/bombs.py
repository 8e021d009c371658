"""Small files that become much when they are read: each is refused, or read in bounded memory and disk."""

import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_MEGABYTE = 1 << 20
_MANY = 1_000_000  # rows of a kilobyte or so


def _shared_value(path: Path, value: str, rows: int) -> None:
    """Rows that share one value of a dictionary."""
    indices = pa.array(np.zeros(rows, np.int32))
    table = pa.table({"text": pa.DictionaryArray.from_arrays(indices, pa.array([value]))})
    pq.write_table(table, path, compression="zstd")


def _dictionary(path: Path) -> None:
    _shared_value(path, "a" * _MEGABYTE, 3_000_000)


def _long_value(path: Path) -> None:
    _shared_value(path, "a" * 20 * _MEGABYTE, 100_000)


def _long_value_among_nulls(path: Path) -> None:
    rows = pa.chunked_array([pa.array(["a" * 20 * _MEGABYTE]), pa.nulls(100_000, pa.string())])
    pq.write_table(pa.table({"text": rows}), path, compression="zstd")


def _nulls(path: Path) -> None:
    pq.write_table(pa.table({"text": pa.nulls(_MANY, pa.string())}), path, compression="zstd")


def _blank_texts(path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(_MANY, np.int32)), pa.array([""]))
    pq.write_table(pa.table({"text": texts}), path)


def _varint(number: int) -> bytes:
    """A number as Parquet's footer (Thrift, compact) writes it."""
    number, written = number << 1, b""
    while number > 0x7F:
        written += bytes([number & 0x7F | 0x80])
        number >>= 7
    return written + bytes([number])


def _lying(path: Path, number: Callable[[pq.FileMetaData], int], lie: int) -> None:
    """A file whose footer says another number than is true, written in as many bytes."""
    buffer = io.BytesIO()
    texts = [f"text {row} {'of a row' * 100}" for row in range(20_011)]
    pq.write_table(pa.table({"text": texts}), buffer, use_dictionary=False, compression="none")
    data = buffer.getvalue()
    true = _varint(number(pq.read_metadata(io.BytesIO(data))))
    false = _varint(lie)
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:]
    assert len(true) == len(false)
    assert true in footer
    path.write_bytes(data[:start] + footer.replace(true, false))


def _lies_about_size(path: Path) -> None:
    _lying(path, lambda metadata: metadata.row_group(0).column(0).total_uncompressed_size, 3_000_000)


def _lies_about_rows(path: Path) -> None:
    _lying(path, lambda metadata: metadata.num_rows, 1_000_000)


def _packed(path: Path, start: bytes, piece: bytes) -> None:
    """300 MB of one piece, each packed by itself."""
    member = gzip.compress(piece * (_MEGABYTE // len(piece)))
    path.write_bytes(gzip.compress(start) + member * 300)


def _packed_csv(path: Path) -> None:
    _packed(path, b"text\n", b"a" * 65_535 + b"\n")


def _packed_jsonl(path: Path) -> None:
    _packed(path, b"", b'{"text": "%s"}\n' % (b"a" * 65_522))


def _packed_blanks(path: Path) -> None:
    _packed(path, b'{"text": "a"}\n', b" " * 65_535 + b"\n")


def _nested_json(path: Path) -> None:
    deep = b'{"text": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"
    path.write_bytes(b'{"text": "a"}\n' + deep * 100)


def _long_number(path: Path) -> None:
    path.write_bytes(b'{"text": "a"}\n' + (b'{"text": "b", "n": ' + b"7" * 1_000_000 + b"}\n") * 20)


def _one_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'{"text": "a"}\n{"text": "')
        for _ in range(300):
            file.write(b"a" * _MEGABYTE)


def _one_field(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b'text\na\n"')
        for _ in range(100):
            file.write((b"a" * 65_535 + b"\n") * 16)


def _blank_head_csv(path: Path) -> None:
    path.write_bytes(b"\n" * 20 * _MEGABYTE + b"text\na\n")


def _blank_head_jsonl(path: Path) -> None:
    path.write_bytes(b"\n" * 20 * _MEGABYTE + b'{"text": "a"}\n')


@dataclass(frozen=True, kw_only=True)
class Bomb:
    """A file, and what becomes of it: a refusal, or counts of good and of bad rows."""

    write: Callable[[Path], None]
    refusal: str = ""
    rows: tuple[int, int] = (0, 0)


_TOO_PACKED = "unpacks to more than 200 times its size"
BOMBS: dict[str, Bomb] = {
    "dictionary.parquet": Bomb(write=_dictionary, refusal=_TOO_PACKED),
    "long_value.parquet": Bomb(write=_long_value, refusal=_TOO_PACKED),
    "long_value_among_nulls.parquet": Bomb(write=_long_value_among_nulls, rows=(0, 100_001)),
    "nulls.parquet": Bomb(write=_nulls, rows=(0, _MANY)),
    "blank_texts.parquet": Bomb(write=_blank_texts, rows=(_MANY, 0)),
    "lies_about_size.parquet": Bomb(write=_lies_about_size, refusal="not a readable Parquet file"),
    "lies_about_rows.parquet": Bomb(
        write=_lies_about_rows, refusal="1,000,000 rows are named in it, 20,011 came"
    ),
    "packed.csv.gz": Bomb(write=_packed_csv, refusal=_TOO_PACKED),
    "packed.jsonl.gz": Bomb(write=_packed_jsonl, refusal=_TOO_PACKED),
    "blanks.jsonl.gz": Bomb(write=_packed_blanks, refusal=_TOO_PACKED),
    "nested.jsonl": Bomb(write=_nested_json, rows=(1, 100)),
    "number.jsonl": Bomb(write=_long_number, rows=(1, 20)),
    "one_line.jsonl": Bomb(write=_one_line, rows=(1, 1)),
    "one_field.csv": Bomb(write=_one_field, rows=(1_600, 1)),
    "blank_head.csv": Bomb(write=_blank_head_csv, refusal="lines are empty; a header is needed"),
    "blank_head.jsonl": Bomb(write=_blank_head_jsonl, refusal="bytes is a JSON object"),
}
"""By the file's name."""
