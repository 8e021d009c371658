"""A job's inputs as a caller gives them, and what is sent of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pingti.corpus.paths import expand, names_several
from pingti.errors import InputError
from pingti.frames.tables import columns_of
from pingti.frames.texts import is_frame, shown, text_array
from pingti.rest_models import MOST_INPUTS


def listed_inputs(inputs: Any, *, text: str, id: str | None, keep: Sequence[str]) -> list[Any]:
    """Each input, of a frame what is sent: all of them are looked at before anything is sent."""
    several = [inputs] if isinstance(inputs, str | Path) or is_frame(inputs) else inputs
    others = {"id": id, **{f"keep[{index}]": name for index, name in enumerate(keep)}}
    try:
        return [
            columns_of(given, text=text, others=others) if is_frame(given) else given for given in several
        ]
    except TypeError as error:
        raise InputError(f"inputs: {shown(inputs)} was given; needed are paths or frames") from error


def files_here(inputs: Sequence[Any]) -> list[Any]:
    """The inputs, and in the place of each folder and pattern that is here its files.

    Raises:
        InputError: a folder that is here has none; or they are more than a job takes: before one is sent.
    """
    files: list[Any] = []
    for given in inputs:
        named: list[Any] = [given]
        if isinstance(given, str | Path) and "://" not in str(given) and names_several(str(given)):
            try:
                named = list(expand(str(given), Path()))
            except InputError:
                if Path(given).is_dir():
                    raise
                # A pattern that matches nothing here may do so there.
        files += named
    if len(files) > MOST_INPUTS:
        raise InputError(
            f"inputs: {len(files):,} were given; a job may have {MOST_INPUTS:,}: make several of it"
        )
    return files


def text_strings(texts: Any) -> list[str | None]:
    """Texts as JSON can say them, None for each that is missing.

    Raises:
        InputError: bytes that are not UTF-8, or a value that is no string.
    """
    values: list[Any] = text_array(texts).to_pylist()
    for row, value in enumerate(values):
        if isinstance(value, bytes):
            try:
                values[row] = value.decode()
            except UnicodeDecodeError as error:
                raise InputError(f"texts: row {row} cannot be sent: {value[:40]!r} is not UTF-8") from error
    return values
