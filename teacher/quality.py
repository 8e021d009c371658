"""How often a fine-tuned teacher decides as people do, beside what is trivial; kept in its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from pingti import files

_FILE = "quality.json"


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Shares of labelled rows that models decide right; none of the models was trained on the rows."""

    rows: int
    teacher: float
    """Of the fine-tuned model."""
    ngram: float
    """Of a linear model of character n-grams, trained on the same rows as the teacher."""
    frozen: float
    """Of the encoder as it was, with a linear head trained on the same rows."""

    def write(self, folder: Path) -> None:
        """Write it into a model's folder.

        Args:
            folder: of the model.
        """
        files.write_json(folder / _FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Quality | None":
        """Read it from a model's folder.

        Args:
            folder: of the model.

        Returns:
            None where the model was not measured, or was made before teachers were.
        """
        try:
            kept = cls(**json.loads((folder / _FILE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return kept if all(type(value) in (int, float) for value in asdict(kept).values()) else None
