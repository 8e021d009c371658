"""Rules of a task: regular expressions that decide about a text before any model is asked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def matches(texts: pa.Array, patterns: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts one of the patterns (RE2, searched anywhere) matches; False for a null."""
    found = np.zeros(len(texts), np.bool_)
    for pattern in patterns:
        hit: Any = pc.match_substring_regex(texts, pattern).fill_null(False)
        found |= hit.to_numpy(zero_copy_only=False)
    return found
