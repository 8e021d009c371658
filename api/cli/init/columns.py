"""Which columns of a file are likely the text, the time and the id: by their names and their first rows."""

from collections.abc import Sequence
from contextlib import suppress

import pyarrow.compute as pc

from pingti.corpus.columns import BadRow, Columns
from pingti.corpus.reader import read_rows
from pingti.errors import InputError

_ROWS = 200  # that are looked at
_TEXTS = (
    "text",
    "content",
    "post",
    "title",
    "sentence",
    "comment",
    "body",
    "review",
    "文本",
    "内容",
    "标题",
    "评论",
)
_TIMES = ("time", "timestamp", "date", "datetime", "created_at", "created", "seen", "day", "时间", "日期")
_IDS = ("id", "uuid", "guid", "number", "no", "编号", "序号")


def likely_text(path: str, names: Sequence[str], encoding: str | None) -> str | None:
    """The column that is the text: by its name, else the one of the longest texts; None where none is one.

    Args:
        path: of the file.
        names: its columns.
        encoding: of a text file; UTF-8 where absent.
    """
    if (named := _named(names, _TEXTS)) is not None:
        return named
    lengths = {name: _mean_length(path, name, encoding) for name in names}
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    return longest if longest is not None and lengths[longest] > 0 else None


def likely_time(path: str, names: Sequence[str], text: str, encoding: str | None) -> str | None:
    """A column named as times are, whose first rows are times; None where there is none.

    Args:
        path: of the file.
        names: its columns.
        text: the column of the texts.
        encoding: of a text file; UTF-8 where absent.
    """
    name = _named([name for name in names if name != text], _TIMES)
    if name is None:
        return None
    bad: list[BadRow] = []
    with suppress(InputError):
        read = read_rows(path, Columns(text=text, time=name, encoding=encoding), bad.append, batch_rows=_ROWS)
        rows = next(read, None)
        return name if rows is not None and rows.num_rows and not bad else None
    return None


def likely_id(names: Sequence[str], others: Sequence[str | None]) -> str | None:
    """A column named as ids are.

    Args:
        names: the file's columns.
        others: those that are something else.
    """
    return _named([name for name in names if name not in others], _IDS)


def _named(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The first column of a usual name; else the first that ends in one, as ``post_text`` does."""
    lowered = {name.lower(): name for name in reversed(names)}
    for word in usual:
        if word in lowered:
            return lowered[word]
    for name in names:
        if any(name.lower().endswith(f"_{word}") for word in usual):
            return name
    return None


def _mean_length(path: str, name: str, encoding: str | None) -> float:
    """Mean characters of a column's first texts; 0 where they are none."""
    with suppress(InputError):
        read = read_rows(path, Columns(text=name, encoding=encoding), lambda _: None, batch_rows=_ROWS)
        rows = next(read, None)
        if rows is not None and rows.num_rows:
            return float(pc.mean(pc.utf8_length(rows.column("text"))).as_py() or 0.0)
    return 0.0
