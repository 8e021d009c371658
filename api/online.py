"""Students that stay loaded, to answer at once."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from queue_worker.settings import Settings
from queue_worker.submit import pinned
from replacement.classify import Classifier, Pin
from replacement.registry import Workspace

_KEPT = 32  # sets of students
_SCORE_DIGITS = 6


class Online:
    """The students of the last few sets of tasks that were asked for. Safe for threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loading = threading.Lock()
        self._loaded: OrderedDict[tuple[Pin, ...], Classifier] = OrderedDict()

    def pins(self, tasks: tuple[str, ...]) -> tuple[Pin, ...]:
        """Of the students in use now; InputError says which task cannot be asked."""
        return pinned(tasks, self._settings).pins

    def ready(self, pins: tuple[Pin, ...]) -> bool:
        return pins in self._loaded

    def classifier(self, pins: tuple[Pin, ...]) -> Classifier:
        found = self._loaded.get(pins)
        if found is None:
            with self._loading:
                found = self._loaded.get(pins)
                if found is None:
                    found = Classifier(Workspace(self._settings.home), pins)
                    self._loaded[pins] = found
                    while len(self._loaded) > _KEPT:
                        self._loaded.popitem(last=False)
        return found

    def classify(self, texts: Sequence[str], pins: tuple[Pin, ...]) -> list[dict[str, Any]]:
        """For each text: task to its label and score."""
        column = pa.array(texts, pa.string())
        found = self.classifier(pins).classify(pa.record_batch({"id": column, "text": column}))
        names = [pin.task for pin in pins if not pin.hidden]
        labels = [found.column(name).to_pylist() for name in names]
        scores = [
            [None if score is None else round(score, _SCORE_DIGITS) for score in column.to_pylist()]
            for column in (found.column(f"{name}_score") for name in names)
        ]
        return [
            {
                name: {"label": labels[task][row], "score": scores[task][row]}
                for task, name in enumerate(names)
            }
            for row in range(len(texts))
        ]
