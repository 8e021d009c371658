"""The longest value of a dictionary, beside what Arrow tells of the same page."""

import contextlib
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingti.corpus import parquet
from pingti.corpus.columns import Columns
from pingti.corpus.dictionary_pages import UnknownPageError, longest_value
from pingti.corpus.reader import read_rows


def written(values: list[bytes | None], **options: Any) -> tuple[io.BytesIO, Any]:
    """A file of one column, and the metadata of its first chunk."""
    file = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array(values, pa.binary())}), file, **options)
    return file, pq.ParquetFile(file).metadata.row_group(0).column(0)


@given(
    st.lists(
        st.none()
        | st.binary(max_size=12)
        | st.text(max_size=300).map(str.encode)
        | st.integers(0, 70_000).map(lambda length: b"x" * length),
        max_size=12,
    ),
    st.sampled_from(["none", "snappy", "gzip", "zstd", "brotli"]),
    st.sampled_from(["1.0", "2.0"]),
    st.booleans(),
)
def test_it_is_that_of_the_values(
    values: list[bytes | None], compression: str, version: str, statistics: bool
) -> None:
    file, column = written(
        values, compression=compression, data_page_version=version, write_statistics=statistics
    )
    longest = max((len(value) for value in values if value is not None), default=0)
    assert longest_value(file, column) == longest


@pytest.mark.parametrize("text", ["a title", "标题" * 50, "x" * 300, "", "a\0\0b"])
def test_many_values_and_those_behind_a_full_dictionary(text: str) -> None:
    values = [f"{number}{text}".encode() for number in range(3000)]
    file, column = written(list(values), dictionary_pagesize_limit=20_000)
    assert 0 < longest_value(file, column) <= len(values[-1])


def test_a_column_without_a_dictionary_has_none() -> None:
    for encoding in ("PLAIN", "DELTA_LENGTH_BYTE_ARRAY"):
        file, column = written([b"long" * 100] * 10, use_dictionary=False, column_encoding={"text": encoding})
        assert longest_value(file, column) == 0


def test_values_told_by_the_one_before_have_no_bound() -> None:
    file, column = written(
        [b"a" * n for n in range(9)], use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY"}
    )
    with pytest.raises(UnknownPageError):
        longest_value(file, column)

    class Lying:
        """A footer that does not tell of them; the page itself does."""

        encodings = ("PLAIN",)

        def __getattr__(self, name: str) -> Any:
            return getattr(column, name)

    with pytest.raises(UnknownPageError):
        longest_value(file, Lying())


@given(st.integers(4, 35), st.integers(0, 255))
def test_a_damaged_page_is_unknown_or_has_a_length(place: int, byte: int) -> None:
    file, column = written([b"one", b"two", b"three"] * 4, compression="none")
    data = bytearray(file.getvalue())
    data[place] = byte
    with contextlib.suppress(UnknownPageError):
        assert longest_value(io.BytesIO(bytes(data)), column) >= 0
    with pytest.raises(UnknownPageError):
        longest_value(io.BytesIO(bytes(data[:place])), column)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "lz4"])
def test_arrow_is_asked_only_where_a_page_is_unknown(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    monkeypatch.setattr(parquet, "BATCH_BYTES", 1 << 12)
    asked: list[int] = []
    by_arrow = parquet._RowLimits._longest_by_arrow

    def seen(self: Any, group: int) -> int | None:
        asked.append(group)
        return by_arrow(self, group)

    monkeypatch.setattr(parquet._RowLimits, "_longest_by_arrow", seen)
    texts = [f"text {number % 500}" for number in range(2000)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts}), path, compression=compression)
    batches = list(read_rows(str(path), Columns(), lambda _: None))
    assert [text for batch in batches for text in batch["text"].to_pylist()] == texts
    assert bool(asked) == (compression == "lz4")
