"""The longest value of a Parquet column's dictionary, from the dictionary's page alone.

Arrow puts all its values into a hash table before it tells any, which took longer than to read a small file.
A page is a header in Thrift's compact protocol and its values, packed; those of PLAIN encoding stand one
behind the other, each after its length in four bytes.

https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

import struct
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_HEADER_BYTES: Final = 256  # what is looked for stands in its first few
_TYPE, _UNPACKED, _PACKED, _DATA, _DICTIONARY, _DATA_2 = 1, 2, 3, 5, 7, 8
"""Fields of PageHeader."""
_DICTIONARY_PAGE: Final = 2
"""Of PageType."""
_ENCODING: Final = {_DATA: 2, _DICTIONARY: 2, _DATA_2: 4}
"""The field of the encoding in the header of each kind of page."""
_PLAIN: Final = (0, 2)
"""Of Encoding: PLAIN, and PLAIN_DICTIONARY, as older files call it."""
_WHOLE: Final = (*_PLAIN, 6, 8)
"""Those by which each value stands for itself (DELTA_LENGTH_BYTE_ARRAY), or is one of the dictionary's."""
_CODECS: Final = ("SNAPPY", "GZIP", "ZSTD", "BROTLI")
_STOP, _TRUE, _FALSE, _I32, _STRUCT = 0, 1, 2, 5, 12
"""Of Thrift's compact protocol."""


class UnknownPageError(Exception):
    """A page that is not understood here; Arrow may know it."""


def longest_value(source: IO[bytes], column: Any) -> int:
    """Bytes of the longest value in the dictionary of a column chunk; 0 where it has none.

    Args:
        source: the file.
        column: the chunk's metadata, of a column of BYTE_ARRAY.

    Raises:
        UnknownPageError: a page that is damaged, or packed otherwise than is known here; or values that are
            told by the one before (DELTA_BYTE_ARRAY), of which no bound can be told.
        OSError: the file cannot be read.
    """
    if "DELTA_BYTE_ARRAY" in column.encodings:
        raise UnknownPageError("values are told by the one before")
    at = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
    header, header_bytes = _header(source, at)
    if _integer(header, _TYPE) != _DICTIONARY_PAGE:
        _check_encoding(header, _WHOLE)
        return 0
    _check_encoding(header, _PLAIN)
    packed, unpacked = _integer(header, _PACKED), _integer(header, _UNPACKED)
    if not (
        header_bytes
        and 0 <= packed <= column.total_compressed_size
        and 0 <= unpacked <= column.total_uncompressed_size
    ):
        raise UnknownPageError("its size is none of a page in this column")
    source.seek(at + header_bytes)
    values = _unpack(source.read(packed), column.compression, unpacked)
    if at + header_bytes + packed < at + column.total_compressed_size:
        _check_encoding(_header(source, at + header_bytes + packed)[0], _WHOLE)
    return _longest(values)


def _header(source: IO[bytes], at: int) -> tuple[dict[int, Any], int]:
    """The fields of a page's header, and its bytes; 0 where only the first fields were looked at."""
    source.seek(at)
    data = source.read(_HEADER_BYTES)
    try:
        return _fields(data, 0)
    except IndexError:
        raise UnknownPageError("its header ends early") from None


def _check_encoding(header: dict[int, Any], known: tuple[int, ...]) -> None:
    pages = [(header[kind], field) for kind, field in _ENCODING.items() if kind in header]
    encodings = [_integer(page, field) for page, field in pages if isinstance(page, dict)]
    if len(encodings) != 1 or encodings[0] not in known:
        raise UnknownPageError("it is of an encoding that is not known here")


def _integer(fields: dict[int, Any], field: int) -> int:
    """A number of a struct; -1 where there is none."""
    value = fields.get(field)
    return value if isinstance(value, int) else -1


def _fields(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """Numbers and structs of a struct by their fields, and where it ends.

    Fields behind one of another kind, such as statistics, are left out, and the end is 0 then.
    """
    fields: dict[int, Any] = {}
    number = 0
    while data[at] != _STOP:
        step, kind = data[at] >> 4, data[at] & 15
        at += 1
        if step:
            number += step
        else:
            number, at = _number(data, at)
        if kind == _I32:
            fields[number], at = _number(data, at)
        elif kind == _STRUCT:
            fields[number], at = _fields(data, at)
            if not at:
                return fields, 0
        elif kind not in (_TRUE, _FALSE):
            return fields, 0
    return fields, at + 1


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the sign in its lowest bit; and where it ends."""
    value = shift = 0
    while data[at] & 128:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
    value |= data[at] << shift
    return (value >> 1) ^ -(value & 1), at + 1


def _unpack(data: bytes, compression: str, size: int) -> bytes:
    if compression == "UNCOMPRESSED":
        return data
    if compression not in _CODECS:
        raise UnknownPageError(f"it is packed by {compression}")
    try:
        unpacked: bytes = pa.Codec(compression.lower()).decompress(data, size, asbytes=True)
    except (pa.ArrowException, OSError) as error:
        raise UnknownPageError(f"it cannot be unpacked: {error}") from error
    return unpacked


def _longest(page: bytes) -> int:
    """The longest of the values that stand one behind the other, each after its length in four bytes."""
    data = np.frombuffer(page, np.uint8)
    lengths = _guessed_lengths(data)
    if lengths is not None:
        return int(lengths.max(initial=0))
    longest = at = 0
    while at < len(page):
        if at + 4 > len(page):
            raise UnknownPageError("its values end early")
        (length,) = struct.unpack_from("<I", page, at)
        longest, at = max(longest, length), at + 4 + length
    if at != len(page):
        raise UnknownPageError("its values end early")
    return longest


def _guessed_lengths(data: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """The values' lengths, where they can be seen at once: short values, none empty, none with a zero byte.

    A length below 65,536 has two zero bytes at its end, and such values have none. That the lengths lead
    from each to the next, and the last one to the end, shows that they are all.
    """
    zero = data == 0
    starts = np.flatnonzero(zero[2:-1] & zero[3:])
    # One below 256 has a zero more, by which the byte before it seems to be a start, too.
    starts = starts[np.append(starts[1:] != starts[:-1] + 1, True)] if len(starts) else starts
    if not len(starts) or starts[0] != 0:
        return None
    lengths: NDArray[np.int64] = data[starts].astype(np.int64) + 256 * data[starts + 1].astype(np.int64)
    ends = starts + 4 + lengths
    return lengths if ends[-1] == len(data) and (ends[:-1] == starts[1:]).all() else None
