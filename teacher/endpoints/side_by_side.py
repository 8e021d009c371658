"""Many requests at one time, each answer kept as soon as it is there."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from numpy.typing import NDArray

from teacher.protocol import Keep


def ask_side_by_side(
    texts: Sequence[str],
    ask: Callable[[list[str]], NDArray[np.float32]],
    *,
    labels: int,
    size: int,
    concurrency: int,
    keep: Keep,
) -> NDArray[np.float32]:
    """Ask about n texts in parts, several parts at a time.

    After an error no further part is asked about; what was answered by then is kept before it is raised.

    Args:
        texts: n of them.
        ask: is called in threads, and answers k texts with float32 (k, labels); NaN is no answer.
        labels: of an answer.
        size: texts of a part.
        concurrency: parts at one time.
        keep: is given answers as they come, in this thread.

    Returns:
        float32 (n, labels).
    """
    probabilities = np.full((len(texts), labels), np.nan, np.float32)
    ended = threading.Event()

    def ask_part(rows: range) -> bool:
        if ended.is_set():
            return False
        try:
            probabilities[rows.start : rows.stop] = ask([texts[row] for row in rows])
        except BaseException:
            ended.set()
            raise
        return True

    ready: list[int] = []
    with ThreadPoolExecutor(concurrency) as threads:
        parts = [range(start, min(start + size, len(texts))) for start in range(0, len(texts), size)]
        waiting = {threads.submit(ask_part, rows): rows for rows in parts}
        errors: list[BaseException] = []
        try:
            for future in as_completed(waiting):
                error = future.exception()
                if error is not None:
                    errors.append(error)
                elif future.result():
                    ready += waiting[future]
                if len(ready) >= max(size, concurrency):
                    keep(ready, probabilities[ready])
                    ready = []
        finally:
            ended.set()  # of an interruption, too
            if ready:
                keep(ready, probabilities[ready])
    if errors:
        raise errors[0]
    return probabilities
