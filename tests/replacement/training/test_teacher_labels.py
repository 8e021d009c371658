import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pingti.annotation.labelled_texts import Labelled
from pingti.errors import DefinitionError, InputError, NotFoundError, UnavailableError
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.progress import Progress, quiet
from replacement.training.people_labels import read_people_labels
from replacement.training.teacher_labels import TeacherLabels, load_teacher
from teacher.bert import Teacher
from teacher.finetune import Recipe, fine_tune

TEXTS = ["a b", "aa", "x y", "xx", "n m", "nn"]
LABELS = ["left", "left", "right", "right", "up", "up"]
Add = Callable[..., TaskEntry]


@pytest.fixture(scope="module")
def model(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuned teacher with the labels left, right, up."""
    out = tmp_path_factory.mktemp("labels") / "model"
    rng = np.random.default_rng(0)
    classes, recipe = ["left", "right", "up"], Recipe(epochs=1)
    fine_tune(str(tiny_bert), TEXTS, LABELS, classes=classes, out=out, rng=rng, recipe=recipe)
    return out


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Add a task; files are relative to the folder of the definitions."""
    workspace = Workspace(tmp_path / "home")

    def add(name: str, classes: list[str], teacher: str, corpus: str = 'files = ["*.jsonl"]') -> TaskEntry:
        return workspace.add_task(name, f"classes = {classes}\n[corpus]\n{corpus}\n[teacher]\n{teacher}\n")

    return add


def teacher_of(entry: TaskEntry, seed: int = 0, progress: Progress = quiet) -> TeacherLabels:
    return load_teacher(entry, read_people_labels(entry), seed=seed, progress=progress)


def seed_of(entry: TaskEntry) -> Labelled:
    seed = read_people_labels(entry).seed
    assert seed is not None
    return seed


@pytest.mark.parametrize(
    ("classes", "mapping", "columns"),
    [
        (["up", "left", "right"], "{}", [[2], [0], [1]]),
        (["no", "yes"], '{up = "yes", "*" = "no"}', [[0, 1], [2]]),
        (["yes", "no"], '{left = "no", right = "yes", up = "no"}', [[1], [0, 2]]),
        (["right", "left", "rest"], '{right = "right", left = "left", "*" = "rest"}', [[1], [0], [2]]),
    ],
)
def test_each_class_gets_the_sum_of_the_labels_that_stand_for_it(
    add: Add, model: Path, classes: list[str], mapping: str, columns: list[list[int]]
) -> None:
    answers = teacher_of(add("t", classes, f'model = "{model}"\ndecide = "sum"\nmap = {mapping}')).ask(
        TEXTS, "asking"
    )
    scored = Teacher.load(str(model)).score(TEXTS)
    expected = np.stack([scored.probabilities[:, column].sum(axis=1) for column in columns], axis=1)
    # The cache keeps vectors as float16.
    np.testing.assert_allclose(answers.probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(answers.vectors, scored.vectors, rtol=1e-2, atol=1e-2)
    assert answers.decided.tolist() == expected.argmax(axis=1).tolist()
    two = np.sort(expected, axis=1)[:, -2:]
    np.testing.assert_allclose(answers.margin, two[:, 1] - two[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "mapping", "message"),
    [
        (["no", "yes"], "{}", "classes: no, yes are not the teacher's labels, left, right, up"),
        (["left", "right"], "{}", "classes: left, right are not the teacher's labels"),
        (["no", "yes"], '{up = "yes"}', "label 'left' is not mapped; the teacher has left, right, up"),
        (["no", "yes"], '{upp = "yes", "*" = "no"}', "no label 'upp'; the teacher has left, right, up"),
        (["no", "yes"], '{"*" = "no"}', "no label of the teacher stands for 'yes'"),
    ],
)
def test_labels_that_do_not_fit_the_classes_are_refused(
    add: Add, model: Path, classes: list[str], mapping: str, message: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        teacher_of(add("t", classes, f'model = "{model}"\nmap = {mapping}'))
    assert "t.toml: " in str(caught.value)
    assert message in str(caught.value)


def test_a_model_without_names_of_its_own_takes_the_classes_in_order(
    add: Add, model: Path, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in model.iterdir():
        (plain / file.name).write_bytes(file.read_bytes())
    config = json.loads((plain / "config.json").read_text())
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(3)}
    config["label2id"] = {f"LABEL_{i}": i for i in range(3)}
    (plain / "config.json").write_text(json.dumps(config))
    unnamed = teacher_of(add("t", ["b", "c", "a"], f'model = "{plain}"')).ask(TEXTS, "asking")
    named = teacher_of(add("u", ["left", "right", "up"], f'model = "{model}"')).ask(TEXTS, "asking")
    assert unnamed.probabilities.tolist() == named.probabilities.tolist()
    with pytest.raises(
        DefinitionError, match="no, yes are not the teacher's labels, LABEL_0, LABEL_1, LABEL_2"
    ):
        teacher_of(add("v", ["no", "yes"], f'model = "{plain}"'))


def test_equal_texts_and_texts_asked_before_cost_nothing(add: Add, model: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    entry = add("t", ["left", "right", "up"], f'model = "{model}"')
    first = teacher_of(entry, progress=lambda *done: steps.append(done))
    answers = first.ask([*TEXTS, *TEXTS, "b a"], "teacher: some")
    assert first.rows_scored == 7
    assert steps[-1] == ("teacher: some", 13, 13)
    assert [step[1] for step in steps] == sorted(step[1] for step in steps)
    assert answers.probabilities[:6].tolist() == answers.probabilities[6:12].tolist()
    # Another task of the same workspace and model, in another process or not, pays for the new text alone.
    section = f'model = "{model}"\ndecide = "sum"\nmap = {{up = "yes", "*" = "no"}}'
    other = teacher_of(add("u", ["no", "yes"], section))
    later = other.ask(["b a", "m", *TEXTS], "asking")
    assert other.rows_scored == 1
    assert later.probabilities[2:, 1].tolist() == answers.probabilities[:6, 2].tolist()
    assert other.fingerprint == first.fingerprint


SEED = [{"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)]
TUNED = 'labels = "seed/labels.jsonl"\nepochs = 1\nmax_length = 16'


def write_labels(entry: TaskEntry, lines: list[str]) -> None:
    path = entry.workspace.tasks / "seed" / "labels.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes("\n".join(lines).encode())


def test_a_teacher_is_fine_tuned_once_and_serves_another_task(add: Add, tiny_bert: Path) -> None:
    owner = add("side", ["right", "left", "up"], f'model = "{tiny_bert}"\n{TUNED}')
    write_labels(owner, ["\ufeff" + json.dumps(SEED[0]), "", *map(json.dumps, SEED[1:])])
    first = teacher_of(owner)
    assert (seed_of(owner).texts, seed_of(owner).labels) == (TEXTS, LABELS)
    (folder,) = (owner.folder / "teacher").iterdir()
    assert first.model == str(folder)
    weights = folder / "model.safetensors"
    written = weights.stat().st_mtime_ns
    section = 'model = "task:side"\ndecide = "sum"\nmap = {up = "yes", "*" = "no"}'
    user = add("is_up", ["no", "yes"], section)
    second = teacher_of(user)
    assert (second.model, second.fingerprint) == (first.model, first.fingerprint)
    assert seed_of(user).texts == TEXTS  # the seed of its owner: no row of it may measure
    probabilities = first.ask(TEXTS, "asking").probabilities
    assert second.ask(TEXTS, "asking").probabilities[:, 1].tolist() == probabilities[:, 2].tolist()
    assert weights.stat().st_mtime_ns == written
    assert not (user.folder / "teacher").exists()
    # Other labels or another seed make another teacher, and the old one stays.
    write_labels(owner, [json.dumps(row) for row in [*SEED, {"text": "nm", "label": "up"}]])
    assert teacher_of(owner).fingerprint != first.fingerprint
    assert teacher_of(owner, seed=1).fingerprint != first.fingerprint
    assert len(list((owner.folder / "teacher").iterdir())) == 3
    assert weights.stat().st_mtime_ns == written


def test_labels_may_name_rows_of_the_corpus(add: Add, tiny_bert: Path) -> None:
    corpus = 'files = ["rows/*.jsonl"]\ntext = "said"\nid = "key"'
    owner = add("side", ["left", "right", "up"], f'model = "{tiny_bert}"\n{TUNED}', corpus)
    (owner.workspace.tasks / "rows").mkdir()
    for number in range(2):
        rows: list[dict[str, object]] = [
            {"key": i if number else f"k{i}", "said": text} for i, text in enumerate(TEXTS) if i % 2 == number
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (owner.workspace.tasks / "rows" / f"{number}.jsonl").write_text(text + "broken\n")
    ids: list[object] = ["k0", 1, "k2", "3", "k4", 5]
    lines = [json.dumps({"id": i, "label": label}) for i, label in zip(ids, LABELS, strict=True)]
    write_labels(owner, [*lines, json.dumps({"text": "own text", "label": "up"})])
    assert seed_of(owner).texts == [*TEXTS, "own text"]
    write_labels(owner, [*lines, json.dumps({"id": "k9", "label": "up"})])
    with pytest.raises(
        InputError, match=r"labels\.jsonl: line 7: .* \(id: 'k9': no text of the corpus has it"
    ):
        read_people_labels(owner)


def test_of_labelled_rows_with_one_text_the_last_counts(add: Add, model: Path) -> None:
    given = f'model = "{model}"\nlabels = "seed/labels.jsonl"\nfine_tune = false\n'
    owner = add("side", ["left", "right", "up"], given)
    rows = [("a b", "left"), ("x y", "up"), ("A  B", "right"), ("x y", "up"), ("a\u200b b", "up")]
    write_labels(owner, [json.dumps({"text": text, "label": label}) for text, label in rows])
    seed = seed_of(owner)
    assert (seed.texts, seed.labels) == (["a\u200b b", "x y"], ["up", "up"])


def test_a_row_number_names_no_row_of_several_files(add: Add, tiny_bert: Path) -> None:
    """Every file counts from 0: the number of one file's row must not bring another file's text."""
    owner = add(
        "side", ["left", "right", "up"], f'model = "{tiny_bert}"\n{TUNED}', 'files = ["rows/*.jsonl"]'
    )
    (owner.workspace.tasks / "rows").mkdir()
    for name in ("a", "b"):
        rows = [json.dumps({"text": f"{name} {text}"}) + "\n" for text in TEXTS]
        (owner.workspace.tasks / "rows" / f"{name}.jsonl").write_text("".join(rows))
        write_labels(owner, [json.dumps({"id": i, "label": label}) for i, label in enumerate(LABELS)])
        if name == "a":
            assert seed_of(owner).texts == [f"a {text}" for text in TEXTS]
            continue
        with pytest.raises(InputError, match=r"line 1: .*'0': the corpus has no id column and 2 files"):
            teacher_of(owner)


def test_a_teacher_that_is_there_is_taken_as_it_is_beside_labels(add: Add, model: Path) -> None:
    given = f'model = "{model}"\nlabels = "seed/labels.jsonl"\nfine_tune = false\n'
    given += 'map = {up = "yes", "*" = "no"}'
    owner = add("side", ["no", "yes"], given)
    write_labels(owner, [json.dumps({"text": text, "label": "yes"}) for text in ("nm", "mn")])
    teacher = teacher_of(owner)
    assert teacher.model == str(model)
    assert not (owner.folder / "teacher").exists()
    assert seed_of(owner).texts == ["nm", "mn"]
    assert teacher.fingerprint == Teacher.load(str(model)).fingerprint


def test_what_does_not_change_a_fine_tuned_teacher_makes_no_new_one(add: Add, tiny_bert: Path) -> None:
    owner = add("side", ["left", "right", "up"], f'model = "{tiny_bert}"\n{TUNED}')
    write_labels(owner, [json.dumps(row) for row in SEED])
    first = teacher_of(owner).model
    text = owner.path.read_text()
    owner.path.write_text(text.replace("[teacher]", "[teacher]\nbudget = 777\nmargin = 0.2"))
    assert teacher_of(owner.workspace.task("side")).model == first
    owner.path.write_text(text.replace("epochs = 1", "epochs = 2"))
    assert teacher_of(owner.workspace.task("side")).model != first


NEEDED = "needed is an object with label, and text or an id of the corpus"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a", "label": "down"}', "label 'down' is no class; allowed are left, right, up"),
        ('{"text": "a"}', f"{NEEDED} (field 'label' is missing)"),
        ('{"text": null, "label": "up"}', f"{NEEDED} (field 'text' is missing or null)"),
        (
            '{"text": 5, "label": "up"}',
            f"{NEEDED} (field 'text' is of type int; a string is needed)",
        ),
        ('{"text": "\\ud83d", "label": "up"}', f"{NEEDED} (field 'text' is not UTF-8)"),
        ('["a", "up"]', f"{NEEDED} (the line is not an object)"),
        ('{"text": "a", "la', f"{NEEDED} (the line is not JSON: "),
    ],
)
def test_a_wrong_line_of_labels_is_named(add: Add, tiny_bert: Path, line: str, message: str) -> None:
    owner = add("side", ["left", "right", "up"], f'model = "{tiny_bert}"\n{TUNED}')
    write_labels(owner, [json.dumps(SEED[0]), "", line])
    with pytest.raises(InputError) as caught:
        teacher_of(owner)
    assert f"labels.jsonl: line 3: {message}" in str(caught.value)
    assert not (owner.folder / "teacher").exists()


def test_labels_that_are_missing_or_lack_a_class_are_refused(add: Add, tiny_bert: Path) -> None:
    owner = add("side", ["left", "right", "up"], f'model = "{tiny_bert}"\n{TUNED}')
    with pytest.raises(InputError, match=r"labels\.jsonl: labels not readable: .*No such file"):
        teacher_of(owner)
    write_labels(owner, [json.dumps(row) for row in SEED[:4]])
    with pytest.raises(InputError, match="class 'up' has no labelled text"):
        teacher_of(owner)
    write_labels(owner, [])
    with pytest.raises(InputError, match="class 'left' has no labelled text"):
        teacher_of(owner)


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        ("nosuch", NotFoundError, "task 'nosuch': not in this workspace; there are: a, b, c"),
        ("../a", NotFoundError, r"task '\.\./a': not in this workspace"),
        ("b", DefinitionError, r"c\.toml: teacher\.model: 'task:b' has no teacher of its own"),
        ("c", DefinitionError, r"c\.toml: teacher\.model: 'task:c' has no teacher of its own"),
    ],
)
def test_a_teacher_of_a_task_that_has_none_is_refused(
    add: Add, model: Path, named: str, error: type[Exception], message: str
) -> None:
    add("a", ["left", "right", "up"], f'model = "{model}"')
    add("b", ["left", "right", "up"], 'model = "task:a"')
    entry = add("c", ["left", "right", "up"], f'model = "task:{named}"')
    with pytest.raises(error, match=message):
        teacher_of(entry)


def test_a_folder_that_is_not_there_is_named_whole(add: Add, tmp_path: Path) -> None:
    entry = add("a", ["left", "right"], 'model = "../../nosuch"')
    with pytest.raises(
        InputError, match=rf"teacher {tmp_path}/home/tasks/\.\./\.\./nosuch: there is no such"
    ):
        teacher_of(entry)


@pytest.mark.parametrize("named", ["~/secret", "secret", "models/secret", "models/more/secret"])
def test_no_folder_of_the_process_stands_in_for_a_teacher(
    add: Add, model: Path, tmp_path: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(model, elsewhere / named.removeprefix("~/"))
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(elsewhere))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises((InputError, UnavailableError), match=r"teacher .*: (there is no such|it is not a)"):
        teacher_of(add("a", ["left", "right", "up"], f'model = "{named}"'))


@pytest.mark.parametrize("named", ["bert", "models/bert", "models/more/bert"])
def test_a_folder_beside_the_definition_comes_before_the_hub(add: Add, model: Path, named: str) -> None:
    entry = add("a", ["left", "right", "up"], f'model = "{named}"')
    shutil.copytree(model, entry.path.parent / named)
    assert teacher_of(entry).model == str(entry.path.parent / named)


def test_token_vectors_keep_the_teachers_likeness_in_any_width(add: Add, model: Path) -> None:
    teacher = teacher_of(add("t", ["left", "right", "up"], f'model = "{model}"'))
    tokens = ("a", "b", "ab", "x", "zz", "a")
    wide, narrow = teacher.token_vectors(tokens, 97), teacher.token_vectors(tokens, 7)
    assert (wide.shape, narrow.shape) == ((6, 97), (6, 7))
    assert wide.dtype == np.float32
    assert not wide[:, 32:49].any()  # the teacher has 32 dimensions, and twice as many are there
    assert not wide[:, 81:].any()
    np.testing.assert_array_equal(wide[0], wide[5])

    # All components together are a rotation: distances stay as they were, up to one scale.
    def distances(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
        apart: NDArray[np.floating] = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
        return apart

    raws = Teacher.load(str(model)).token_vectors(tokens)
    parts = ((wide[:, :49], narrow[:, :4]), (wide[:, 49:], narrow[:, 4:]))
    for raw, (all_of_it, some) in zip(raws, parts, strict=True):
        assert all_of_it.any()
        ratio = distances(all_of_it)[0, 1] / distances(raw.astype(np.float64))[0, 1]
        np.testing.assert_allclose(
            distances(all_of_it), distances(raw.astype(np.float64)) * ratio, rtol=1e-3, atol=1e-4
        )
        # Fewer are the strongest of them, in order.
        spread = some.var(axis=0)
        strongest = np.sort(all_of_it.var(axis=0))[::-1][: len(spread)]
        np.testing.assert_allclose(spread / spread.sum(), strongest / strongest.sum(), rtol=1e-3)
        assert (np.diff(spread) < 0).all()


def test_pieces_are_those_that_the_teacher_counts(add: Add, topic_teacher: Path) -> None:
    mapping = 'map = {sport = "yes", "*" = "no"}'
    entry = add("short", ["no", "yes"], f'model = "{topic_teacher}"\nmax_length = 8\n{mapping}')
    teacher = teacher_of(entry)
    texts = ["", "a", "a b c d e f", "a b c d e f g", "abcdefg", " a  b c d e f \n", "a b c d e f " * 99]
    assert (teacher.max_length, teacher.pieces_read) == (8, 6)  # [CLS] and [SEP]
    pieces = teacher.pieces_of(texts)
    assert pieces[:4].tolist() == [0, 1, 6, 7]
    assert int((pieces > 6).sum()) == 3
    assert teacher.pieces_of([]).tolist() == []
