"""Whether the reference is what the user's own pipeline answers: ``make bench-reference``.

A many-label model decides yes or no by a map of its labels. Of every text of a data set, the product's
reference is held against the label that ``pipeline("text-classification")`` names, mapped. Then the task is
replaced, and its student is held against the pipeline on texts that no run has seen, beside what the report
promised.

English and news models are fine-tuned here by a plain loop, as users do it; weibo's teacher is there already.
Prints a table and writes ``benchmarks/results/reference.json``.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import f1_score

import pingti
from benchmarks.fidelity import data as fidelity_data
from benchmarks.harness import LeftOut
from benchmarks.teacher_quality import Labelled, bert_mini, clinc, draw, read_lines, thucnews
from replacement.training.people_labels import read_people_labels
from replacement.training.teacher_labels import load_teacher
from teacher.folders import encode, load_tokenizer, pad, quiet

RESULTS: Final = Path(__file__).parent / "results" / "reference.json"
_MAX_LENGTH: Final = 64
_BATCH: Final = 64
_LABELLED: Final = 3000
_EPOCHS: Final = 4
_RATE: Final = 3e-4
_BUDGET: Final = 12_000
"""Texts that a run may ask its teacher about."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Texts, the model that decides them, and the labels of it that are a yes."""

    name: str
    yes: frozenset[str]
    model: Callable[[Path], Path]
    """The folder of a model; one that is not there is made in the given folder."""
    read: Callable[[], tuple[list[str], list[str]]]
    """Texts of the corpus, the newest last; and later ones, which no run sees."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of one data set."""

    data: str
    texts: int
    differ: int
    """Texts of the corpus of which the reference is not what the pipeline answers."""
    widest_lead: float
    """Of those, the largest lead of the pipeline's first label over its second; 0 where none differs."""
    yes: int
    f1_report: float
    interval: tuple[float, float]
    """Of the report, 95 %."""
    later: int
    f1_later: float
    """Against the pipeline, on texts that no run has seen."""

    @property
    def holds(self) -> bool:
        """Whether the report's interval has the later F1 in it."""
        return self.interval[0] <= self.f1_later <= self.interval[1]


def main() -> None:
    """Measure, print, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, help="so many texts of each data set at most")
    parser.add_argument("--data", choices=[data.name for data in DATA_SETS], action="append")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    console = Console()
    rows = []
    for data in DATA_SETS:
        if arguments.data and data.name not in arguments.data:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            try:
                rows.append(measure(data, Path(temporary), arguments.rows, console.print))
            except LeftOut as reason:
                console.print(f"{data.name} is left out: {reason}")
    console.print(_table(rows))
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def measure(data: DataSet, folder: Path, most: int | None, say: Callable[[str], None]) -> Row:
    """Hold reference and student of one data set against the pipeline.

    Args:
        data: the data set.
        folder: for model and workspace.
        most: so many texts of the corpus at most.
        say: told what is being done.

    Raises:
        LeftOut: data or model are not on this machine.
    """
    corpus, later = data.read()
    corpus = corpus[-most:] if most else corpus
    say(f"{data.name}: the model")
    model = data.model(folder / "model")
    say(f"{data.name}: pipeline on {len(corpus):,} texts")
    labels, leads = pipeline_labels(model, corpus)
    expected = np.isin(labels, sorted(data.yes))
    say(f"{data.name}: replacing")
    replaced = pingti.replace(
        {"text": corpus},
        name=data.name,
        teacher={
            "model": str(model),
            "map": {**dict.fromkeys(sorted(data.yes), "yes"), "*": "no"},
            "max_length": _MAX_LENGTH,
            "budget": min(_BUDGET, len(corpus)),
        },
        classes=("no", "yes"),
        definition={"gate": {"rounds": 3}},
        workspace=folder / "workspace",
        progress=False,
    )
    people = read_people_labels(replaced.entry)
    reference = load_teacher(replaced.entry, people, seed=0).ask(corpus, "reference").decided.astype(np.bool_)
    differ = np.flatnonzero(reference != expected)
    say(f"{data.name}: pipeline and student on {len(later):,} later texts")
    answered = np.isin(pipeline_labels(model, later)[0], sorted(data.yes))
    report = replaced.report
    return Row(
        data=data.name,
        texts=len(corpus),
        yes=int(expected.sum()),
        differ=len(differ),
        widest_lead=round(float(leads[differ].max(initial=0.0)), 6),
        f1_report=round(report["holdout"]["f1"], 4),
        interval=tuple(report["holdout_intervals"]["f1"]),
        later=len(later),
        f1_later=round(float(f1_score(answered, replaced.student.predict(later) == "yes")), 4),
    )


def pipeline_labels(model: Path, texts: list[str]) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """What the user's pipeline answers: the likeliest label of n texts, and its lead over the second."""
    from transformers import pipeline

    with quiet():
        classify = pipeline(
            "text-classification", str(model), tokenizer=str(model), top_k=2, truncation=True,
            max_length=_MAX_LENGTH, batch_size=_BATCH, device="cpu",
        )  # fmt: skip
    # Texts of like length share a batch; the answers go back to their places.
    order = np.argsort([len(text) for text in texts], kind="stable")
    answers = classify([texts[row] for row in order.tolist()])
    labels = np.empty(len(texts), object)
    leads = np.empty(len(texts))
    for row, (first, second) in zip(order.tolist(), answers, strict=True):
        labels[row], leads[row] = first["label"], first["score"] - second["score"]
    return labels, leads


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, title="the reference against pipeline(text-classification)")
    table.add_column("")
    headings = ("texts", "yes", "differ", "their lead at most", "F1 of the report", "95 %", "F1 later", "on")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.data, f"{row.texts:,}", f"{row.yes:,}", f"{row.differ:,}", f"{row.widest_lead:.6f}",
            f"{row.f1_report:.4f}", "{:.3f} to {:.3f}".format(*row.interval), f"{row.f1_later:.4f}",
            f"{row.later:,}",
        )  # fmt: skip
    return table


# ---- models and texts ---------------------------------------------------------------------------------


def _fine_tuned(
    encoder: Callable[[], Path], rows: Callable[[], tuple[Labelled, Labelled]]
) -> Callable[[Path], Path]:
    """A classifier as a plain loop makes it: AdamW, whole batches at random, no more."""

    def make(folder: Path) -> Path:
        from transformers import AutoModelForSequenceClassification

        labelled = draw(rows()[0], _LABELLED, np.random.default_rng(0), even=True)
        names = sorted({label for _, label in labelled})
        base = encoder()
        torch.manual_seed(0)
        with quiet():
            model = AutoModelForSequenceClassification.from_pretrained(
                base, num_labels=len(names), id2label=dict(enumerate(names)), local_files_only=True,
                label2id={name: index for index, name in enumerate(names)},
            )  # fmt: skip
        tokenizer = load_tokenizer(base)
        ids = encode(tokenizer, [text for text, _ in labelled], _MAX_LENGTH)
        answers = torch.tensor([names.index(label) for _, label in labelled])
        optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
        model.train()
        for _ in range(_EPOCHS):
            for batch in torch.randperm(len(ids)).split(32):
                inputs, mask = pad([ids[row] for row in batch.tolist()], tokenizer.pad_token_id)
                loss = model(input_ids=inputs, attention_mask=mask, labels=answers[batch]).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


def _weibo_teacher(_: Path) -> Path:
    folder = fidelity_data.SHARED / "models" / "weibo-teacher-zh"
    if not folder.is_dir():
        raise LeftOut(f"{folder}: no such folder")
    return folder


def _weibo() -> tuple[list[str], list[str]]:
    """Titles by their first sighting: January to October 2025, and later."""
    months: dict[str, str] = {}
    for row in read_lines("weibo_hot", "weibo_hot.jsonl.gz"):
        months.setdefault(row["text"], row["timestamp"][:7])
    return (
        [text for text, month in months.items() if "2025-01" <= month <= "2025-10"],
        [text for text, month in months.items() if month >= "2025-11"],
    )


def _parted(rows: Callable[[], tuple[Labelled, Labelled]]) -> Callable[[], tuple[list[str], list[str]]]:
    """The texts of a labelled data set in random order: those of the corpus, and a fifth that comes later.

    Nothing tells when they were written. The data set's own parts are not used: a report speaks of texts as
    those of the corpus are, and CLINC150's parts differ.
    """

    def read() -> tuple[list[str], list[str]]:
        older, newer = rows()
        texts = list(dict.fromkeys(text for text, _ in (*older, *newer)))
        shuffled = [texts[row] for row in np.random.default_rng(0).permutation(len(texts)).tolist()]
        later = len(shuffled) // 5
        return shuffled[:-later], shuffled[-later:]

    return read


DATA_SETS: Final = (
    DataSet(
        name="thucnews",
        yes=frozenset({"stocks", "finance", "realty"}),
        model=_fine_tuned(bert_mini, thucnews),
        read=_parted(thucnews),
    ),
    DataSet(
        name="clinc150",
        yes=frozenset(fidelity_data.INTENTS["banking"].split()),
        model=_fine_tuned(fidelity_data.minilm, clinc),
        read=_parted(clinc),
    ),
    DataSet(name="weibo_hot", yes=frozenset({"社会", "时事", "财经"}), model=_weibo_teacher, read=_weibo),
)

if __name__ == "__main__":
    main()
