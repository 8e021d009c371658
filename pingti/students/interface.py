"""What all students have in common, whatever they compute by."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from textcnn.cost import Cost

__all__ = ["AnyStudent", "Cost"]


class AnyStudent(Protocol):
    """A student of any kind; ``textcnn.Student`` is one.

    Scoring is safe from several threads; an instance is never changed but for its metadata.
    """

    @property
    def kind(self) -> str:
        """What it computes by, as ``student.kind`` of a definition names it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the columns of the scores."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What else is to be known of it, in values that JSON has."""

    def encode(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> Any:
        """Turn n texts into what ``score_encoded`` takes; texts as of ``textcnn.Student.score``."""

    def score_encoded(self, encoded: Any) -> NDArray[np.float32]:
        """Score n encoded texts; as ``score``."""

    def score(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> NDArray[np.float32]:
        """Score n texts: class probabilities, float32 (n, classes); NaN for what is not a text."""

    def save(self, folder: Path | str) -> None:
        """Write the artifact into ``folder``; its JSON, which names all files, comes last."""

    def cost(self, tokens: float) -> Cost:
        """What it takes, for texts of so many tokens in the mean."""

    def save_pretrained(
        self, folder: Path | str, *, report: Mapping[str, Any] | None = None, name: str | None = None
    ) -> None:
        """Write the artifact with a model card; as of ``textcnn.Student``."""

    def push_to_hub(
        self,
        name: str,
        *,
        report: Mapping[str, Any] | None = None,
        private: bool = True,
        revision: str | None = None,
    ) -> str:
        """Put the artifact and its card on the Hugging Face hub; as of ``textcnn.Student``."""
