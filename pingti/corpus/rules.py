"""Rules of a task: regular expressions that decide about a text before any model is asked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def matches(texts: pa.Array, patterns: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts one of the patterns matches.

    Args:
        texts: n strings or nulls.
        patterns: RE2, searched anywhere in a text.

    Returns:
        (n,); False for a null.
    """
    matched = np.zeros(len(texts), np.bool_)
    for pattern in patterns:
        hit: Any = pc.match_substring_regex(texts, pattern).fill_null(False)
        matched |= hit.to_numpy(zero_copy_only=False)
    return matched
