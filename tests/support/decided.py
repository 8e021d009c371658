"""What ``pingti classify`` decides on texts, as a service answers it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pingti.corpus.reader import Columns
from pingti.inference.classifier import Classifier
from pingti.inference.files import RESULTS, classify_files


def decided_by_classify(classifier: Classifier, texts: list[str], folder: Path) -> list[dict[str, Any]]:
    """For each text by task its label and score, from a run over a Parquet file.

    Args:
        classifier: what decides.
        texts: without nulls.
        folder: for the file and the results.
    """
    table = pa.table({"id": [str(number) for number in range(len(texts))], "text": texts})
    pq.write_table(table, folder / "texts.parquet")
    classify_files([str(folder / "texts.parquet")], Columns(id="id"), classifier, folder / "out", threads=1)
    rows = pq.read_table(folder / "out" / RESULTS).to_pylist()
    assert [row["id"] for row in rows] == [str(number) for number in range(len(texts))]
    names = [pin.name for pin in classifier.pins if not pin.hidden]
    return [{name: {"label": row[name], "score": row[f"{name}_score"]} for name in names} for row in rows]


def assert_equal_decisions(results: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    """Equal labels, and scores that differ by no more than rounding to six digits and float32 do."""
    assert len(results) == len(wanted)
    for result, expected in zip(results, wanted, strict=True):
        assert set(result) == set(expected)
        for name, decision in expected.items():
            assert result[name]["label"] == decision["label"]
            if decision["score"] is None:
                assert result[name]["score"] is None
            else:
                assert abs(result[name]["score"] - decision["score"]) < 5e-6
