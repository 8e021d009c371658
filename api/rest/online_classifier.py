"""Students that stay loaded, to answer at once."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pingti.inference.pins import Pin
from queue_worker.classifying.runner import ClassifierCache
from queue_worker.jobs.submission import pinned
from queue_worker.settings import Settings

_KEPT = 32  # sets of students
_SCORE_DIGITS = 6


class Online:
    """The students of the last few sets of tasks that were asked for. Safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._classifiers = ClassifierCache(settings, most=_KEPT)

    def pins(self, tasks: tuple[str, ...]) -> tuple[Pin, ...]:
        """The pins of tasks ("task@scene#version"), of the students in use now.

        Raises:
            InputError: a task cannot be asked; the fault's pointer says which.
        """
        return pinned(tasks, self._settings).pins

    def ready(self, pins: tuple[Pin, ...]) -> bool:
        """Whether the students of ``pins`` are loaded."""
        return self._classifiers.loaded(pins) is not None

    def classify(self, texts: Sequence[str | None], pins: tuple[Pin, ...]) -> list[dict[str, Any]]:
        """For each text: task, or task@scene where it is asked at several, to its label and score.

        No teacher is asked; of a student whose jobs ask one it says whether it is sure. What a transformer of
        the version answers in its place is sure. What is no text (None) has None for all tasks.
        """
        column = pa.array(texts, pa.string())
        decided = self._classifiers.get(pins).classify(pa.record_batch({"id": column, "text": column}))
        names = [pin.name for pin in pins if not pin.hidden]
        labels = [decided.column(name).to_pylist() for name in names]
        scores = [
            [None if score is None else round(score, _SCORE_DIGITS) for score in column.to_pylist()]
            for column in (decided.column(f"{name}_score") for name in names)
        ]
        sure = {
            pin.name: [
                None if by is None else by != "unsure" for by in decided.column(f"{pin.name}_by").to_pylist()
            ]
            for pin in pins
            if pin.second is not None and not pin.hidden
        }
        return [
            {
                name: {"label": labels[task][row], "score": scores[task][row]}
                | ({"sure": sure[name][row]} if name in sure else {})
                for task, name in enumerate(names)
            }
            for row in range(len(texts))
        ]
