"""The product's own rows: folded students, many tasks, Parquet to Parquet, fidelity, training."""

import copy
import csv
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.harness import Contender
from benchmarks.plain import PlainTextCNN, batches
from benchmarks.texts import Texts
from pingti.corpus.reader import Columns
from pingti.files import write_json
from pingti.inference.classifier import Classifier
from pingti.inference.files import classify_files
from pingti.inference.pins import Choice, pin
from pingti.workspace import promotion
from pingti.workspace.definition import StudentSection
from pingti.workspace.registry import Workspace
from textcnn import Architecture, Encoded, Student, Vocabulary, score_many
from textcnn.network import TextCNN
from textcnn.train import Recipe, train

CLASSES = ("no", "yes")
DEFINITION = """\
classes = ["no", "yes"]
[corpus]
files = ["../texts.parquet"]
[teacher]
model = "none"
"""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One label task's network, and the student that it folds to."""

    network: TextCNN
    student: Student
    texts: Texts

    @property
    def vocabulary(self) -> Vocabulary:
        return self.student.vocabulary


def make_student(texts: Texts, architecture: Architecture, *, rows: int, epochs: int) -> Trained:
    """Train a little on the labels of the first ``rows`` texts: enough for scores like a real student's."""
    vocabulary = Vocabulary.build(pa.array(texts.compared), size=8000)
    network = train(
        vocabulary.encode(texts.timed[:rows]),
        _targets(texts.positive[:rows]),
        size=vocabulary.size,
        architecture=architecture,
        rng=np.random.default_rng(0),
        recipe=Recipe(epochs=epochs),
    )
    return Trained(network=network, student=Student.from_network(network, vocabulary, CLASSES), texts=texts)


def folded(trained: Trained) -> list[Contender]:
    """The student from an Arrow array and from a Python list."""
    names, student = np.array(CLASSES), trained.student

    def from_list(count: int) -> Callable[[], object]:
        some = trained.texts.timed[:count]
        return lambda: names[student.score(some).argmax(1)]

    limit = len(trained.texts.timed)
    return [
        _from_array("folded", "Arrow array to labels", student, trained.texts),
        Contender(name="folded_python_list", prepare=from_list, limit=limit, what="list of str to labels"),
    ]


def _from_array(name: str, what: str, student: Student, texts: Texts) -> Contender:
    array, names = pa.array(texts.timed), np.array(CLASSES)

    def prepare(count: int) -> Callable[[], object]:
        some = array.slice(0, count)
        return lambda: names[student.score(some).argmax(1)]

    return Contender(name=name, prepare=prepare, limit=len(array), what=what)


def folded_wide(trained: Trained, buckets: int) -> Contender:
    """The same with a wide part of random rows, as its values cost the same."""
    what = f"and hashed tokens and pairs of them, {buckets:,} buckets"
    return _with_wide("folded_wide", what, trained, buckets, (1, 1))


def usual(trained: Trained, *, rows: int, epochs: int) -> Trained:
    """The student that ``pingti replace`` makes unless told otherwise, of the dimensions given."""
    shape = trained.student.architecture
    architecture = Architecture(
        embedding=shape.embedding, filters=shape.filters, widths=StudentSection().widths
    )
    return make_student(trained.texts, architecture, rows=rows, epochs=epochs)


def default(student: Trained, buckets: int) -> Iterator[Contender]:
    """The usual student, and those for teachers of 9 and of 32 labels, told apart within its classes."""
    widths = ", ".join(map(str, student.student.architecture.widths))
    what = f"as pingti replace makes it: widths {widths} and {buckets:,} buckets"
    yield _with_wide("default", what, student, buckets, (1, 1))
    for labels in ((8, 1), (24, 8)):
        count = sum(labels)
        name, what = f"default_{count}_labels", f"and {count} labels told apart"
        yield _with_wide(name, what, student, buckets, labels)


def _with_wide(
    name: str, what: str, trained: Trained, buckets: int, subclasses: tuple[int, int]
) -> Contender:
    student = wide_student(trained, buckets, subclasses, np.random.default_rng(1))
    return _from_array(name, what, student, trained.texts)


def wide_student(
    trained: Trained, buckets: int, subclasses: tuple[int, int], rng: np.random.Generator
) -> Student:
    """The trained student with a wide part of random rows, its classes in parts, and noise in its tables.

    So each is a student of its own: tables that are equal would be looked up once for all.
    """
    network = _copy(trained, len(CLASSES), wide=buckets, subclasses=subclasses)
    with torch.no_grad():
        rows = rng.normal(0.0, 0.1, tuple(network.wide.shape)).astype(np.float32)
        network.wide.copy_(torch.from_numpy(rows))
        noise = rng.normal(0.0, 0.01, tuple(network.embedding.shape)).astype(np.float32)
        network.embedding.add_(torch.from_numpy(noise))
    return Student.from_network(network, trained.vocabulary, CLASSES, subclasses=subclasses)


def many_tasks(trained: Trained, counts: Sequence[int]) -> list[Contender]:
    """Students of one vocabulary: asked one by one, in one pass, and with a shared trunk.

    Their tables are the trained student's with noise, so that each is a table of its own.
    """
    rng = np.random.default_rng(2)
    students = []
    for _ in range(max(counts)):
        network = _copy(trained, len(CLASSES))
        with torch.no_grad():
            noise = rng.normal(0.0, 0.01, tuple(network.embedding.shape)).astype(np.float32)
            network.embedding.add_(torch.from_numpy(noise))
        students.append(Student.from_network(network, trained.vocabulary, CLASSES))
    array = pa.array(trained.texts.timed)
    contenders = []
    for count in counts:
        contenders += [
            _separate(students[:count], array),
            one_pass(f"tasks_{count}_one_pass", students[:count], array, "score_many"),
        ]
    heads = max(counts)
    network = _copy(trained, heads * len(CLASSES))
    with torch.no_grad():
        network.head.weight.copy_(trained.network.head.weight.repeat(heads, 1))
        noise = rng.normal(0.0, 0.01, tuple(network.head.weight.shape)).astype(np.float32)
        network.head.weight.add_(torch.from_numpy(noise))
    family = Student.family(network, trained.vocabulary, [CLASSES] * heads)
    what = "score_many, one convolution for all"
    return [*contenders, one_pass(f"tasks_{heads}_shared_trunk", family, array, what)]


def _separate(students: list[Student], array: pa.Array) -> Contender:
    def prepare(count: int) -> Callable[[], object]:
        some = array.slice(0, count)
        return lambda: [student.score(some) for student in students]

    return Contender(
        name=f"tasks_{len(students)}_separate",
        prepare=prepare,
        limit=len(array),
        least=256,
        per_text=len(students),
        what="one after another over all texts",
    )


def one_pass(name: str, students: Sequence[Student], array: pa.Array, what: str) -> Contender:
    """Students over all texts in one call; its rate counts labels."""

    def prepare(count: int) -> Callable[[], object]:
        some = array.slice(0, count)
        return lambda: score_many(students, some)

    return Contender(
        name=name, prepare=prepare, limit=len(array), least=256, per_text=len(students), what=what
    )


def make_workspace(trained: Trained, folder: Path) -> Workspace:
    """A workspace whose task "bench" has the student promoted."""
    workspace = Workspace(folder / "workspace")
    entry = workspace.add_task("bench", DEFINITION)
    metadata = {"task": "bench", "version": 1, "thresholds": {"default": 0.5}, "rules": {}, "depends_on": []}
    student = Student(
        trained.student.folded, trained.vocabulary, CLASSES, trained.student.architecture, metadata
    )
    version = entry.folder / "students" / "1"
    student.save(version)
    write_json(version / "report.json", {"format": 1, "task": "bench", "version": 1})
    promotion.promote(entry, 1, who="bench", why="to be timed", force=True)
    return workspace


def files_to_parquet(
    trained: Trained, workspace: Workspace, folder: Path, *, copies: int
) -> Iterator[Contender]:
    """``classify_files`` on one core, from each format: ids and texts in, decisions and scores out.

    A file holds every text ``copies`` times, so that opening and closing it counts as it does in practice.
    """
    classifier = Classifier.load(workspace, pin(workspace, [Choice(task="bench")]))
    numbers = itertools.count()

    def preparing(form: str) -> Callable[[int], Callable[[], object]]:
        def prepare(count: int) -> Callable[[], object]:
            file = write_rows(folder / f"texts-{count}.{form}", trained.texts.timed, count)

            def run() -> None:
                counts = classify_files(
                    [str(file)], Columns(id="id"), classifier, folder / f"out{next(numbers)}", threads=1
                )
                if counts.completed != count:
                    raise RuntimeError(f"{form}: {count} rows in, {counts.completed} out")

            return run

        return prepare

    for form in ("parquet", "csv", "jsonl"):
        yield Contender(
            name=f"{form}_to_parquet",
            prepare=preparing(form),
            limit=copies * len(trained.texts.timed),
            what="ids and texts to decisions and scores",
        )


def write_rows(file: Path, texts: Sequence[str], count: int) -> Path:
    """Write so many rows of an id and a text, the texts again and again; returns the file."""
    some = itertools.islice(itertools.cycle(texts), count)
    rows = [{"id": f"row{number}", "text": text} for number, text in enumerate(some)]
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
        return file
    with file.open("w", encoding="utf-8", newline="") as lines:
        if file.suffix == ".jsonl":
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(lines, ["id", "text"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    return file


def fidelity(trained: Trained) -> dict[str, object]:
    """The folded student against the float32 network on all texts that are there."""
    texts, largest, equal = pa.array(trained.texts.compared), 0.0, 0
    for start in range(0, len(texts), 2000):
        some = texts.slice(start, 2000)
        encoded = trained.vocabulary.encode(some)
        with torch.inference_mode():
            wanted = torch.softmax(trained.network(encoded.ids, encoded.offsets), 1).numpy()
        scores = trained.student.score(some)
        largest = max(largest, float(np.abs(scores - wanted).max()))
        equal += int((scores.argmax(1) == wanted.argmax(1)).sum())
    return {
        "texts": len(texts),
        "largest_probability_difference": largest,
        "equal_decisions": equal / len(texts),
    }


def training(trained: Trained, *, rows: int, epochs: int, turns: int) -> dict[str, object]:
    """``textcnn.train`` in turns with a plain Conv1d loop of the same recipe, on equal rows.

    The F1 of each is on texts that neither has seen.
    """
    texts, recipe = trained.texts, Recipe(epochs=epochs)
    encoded = trained.vocabulary.encode(texts.timed[:rows])
    unseen = trained.vocabulary.encode(texts.timed[rows:])
    targets, wanted = _targets(texts.positive[:rows]), texts.positive[rows:]
    architecture, size = trained.student.architecture, trained.vocabulary.size
    own_rates, plain_rates, own_f1, plain_f1 = [], [], [], []
    for turn in range(turns):
        start = time.perf_counter()
        network = train(
            encoded, targets, size=size, architecture=architecture, rng=np.random.default_rng(turn),
            recipe=recipe,
        )  # fmt: skip
        own_rates.append(rows * epochs / (time.perf_counter() - start))
        own_f1.append(_f1(Student.from_network(network, trained.vocabulary, CLASSES), unseen, wanted))
        start = time.perf_counter()
        plain = _plain_loop(encoded, targets, size, architecture, np.random.default_rng(turn), recipe)
        plain_rates.append(rows * epochs / (time.perf_counter() - start))
        back = _from_plain(plain, size, architecture)
        plain_f1.append(_f1(Student.from_network(back, trained.vocabulary, CLASSES), unseen, wanted))
    own, other = float(np.median(own_rates)), float(np.median(plain_rates))
    return {
        "texts_per_second": own,
        "plain_conv1d_texts_per_second": other,
        "ratio": own / other,
        "rows": rows,
        "epochs": epochs,
        "f1": float(np.median(own_f1)),
        "plain_conv1d_f1": float(np.median(plain_f1)),
    }


def _plain_loop(
    encoded: Encoded,
    targets: NDArray[np.float32],
    size: int,
    architecture: Architecture,
    rng: np.random.Generator,
    recipe: Recipe,
) -> PlainTextCNN:
    """What most people write: padded batches in random order, Conv1d, Adam; the recipe is ``train``'s."""
    torch.manual_seed(int(rng.integers(2**31)))
    model = PlainTextCNN(TextCNN(size, targets.shape[1], architecture, rng)).train()
    average = copy.deepcopy(model)
    pairs = [[parameter.detach() for parameter in network.parameters()] for network in (average, model)]
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    steps = recipe.epochs * -(-len(encoded) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps + 1, pct_start=0.1, cycle_momentum=False
    )
    step = 0
    for _ in range(recipe.epochs):
        order = rng.permutation(len(encoded))
        shuffled = batches(encoded.take(order), recipe.batch_size, architecture.widths, by_length=False)
        for number, batch in enumerate(shuffled):
            rows = order[number * recipe.batch_size : (number + 1) * recipe.batch_size]
            logits = model(torch.from_numpy(batch.ids), *map(torch.from_numpy, batch.masks))
            loss = nn.functional.cross_entropy(logits, torch.from_numpy(targets[rows]))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            step += 1
            kept = min(recipe.average, step / (step + 10))
            torch._foreach_lerp_(pairs[0], pairs[1], 1.0 - kept)
    return average


def _from_plain(plain: PlainTextCNN, size: int, architecture: Architecture) -> TextCNN:
    network = TextCNN(size, plain.head.out_features, architecture, np.random.default_rng(0)).eval()
    with torch.no_grad():
        network.embedding.copy_(plain.embedding.weight)
        network.embedding[0] = 0.0
        layers = [layer for layer in plain.convolutions if isinstance(layer, nn.Conv1d)]
        network.filters.copy_(torch.cat([layer.weight.permute(2, 1, 0) for layer in layers]))
        network.bias.copy_(torch.cat([layer.bias for layer in layers if layer.bias is not None]))
        network.head.load_state_dict(plain.head.state_dict())
    return network


def _f1(student: Student, encoded: Encoded, wanted: NDArray[np.bool_]) -> float:
    called = student.score_encoded(encoded).argmax(1) == 1
    return float(2 * (called & wanted).sum() / max(1, called.sum() + wanted.sum()))


def _copy(
    trained: Trained, outputs: int, *, wide: int = 0, subclasses: Sequence[int] | None = None
) -> TextCNN:
    """The network with another number of outputs or a wide part; the head is copied where it fits."""
    shape = trained.student.architecture
    architecture = Architecture(
        embedding=shape.embedding, filters=shape.filters, widths=shape.widths, wide=wide
    )
    rng = np.random.default_rng(0)
    network = TextCNN(trained.vocabulary.size, outputs, architecture, rng, subclasses).eval()
    with torch.no_grad():
        for name in ("embedding", "filters", "bias"):
            getattr(network, name).copy_(getattr(trained.network, name))
        if sum(network.subclasses) == len(CLASSES):
            network.head.load_state_dict(trained.network.head.state_dict())
    return network


def _targets(positive: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.stack([~positive, positive], axis=1).astype(np.float32)
