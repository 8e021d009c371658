import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from pingti.errors import ConflictError, InputError
from teacher import ngrams
from teacher.bert import TEMPERATURE, Teacher
from teacher.finetune import FineTuned, Recipe, fine_tune
from teacher.quality import Quality

TEXTS = ["a", "aba", "aa ab", "ab a", "a aa ba", "x", "xyx", "xx yx", "xy x", "x xx yx"] * 4
LABELS = (["left"] * 5 + ["right"] * 5) * 4


def tune(
    base: Path, out: Path, *, seed: int = 1, texts=TEXTS, labels=LABELS, classes=("right", "left"),
    device=None, progress=None, **changes,
) -> FineTuned:  # fmt: skip
    recipe = Recipe(**{"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, **changes})
    return fine_tune(
        str(base), texts, labels, classes=classes, out=out, rng=np.random.default_rng(seed), recipe=recipe,
        device=device, progress=progress,
    )  # fmt: skip


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def test_it_learns_what_it_is_shown(tiny_bert: Path, tmp_path: Path) -> None:
    steps = []
    tuned = tune(tiny_bert, tmp_path / "made", epochs=10, progress=lambda *done: steps.append(done))
    teacher = Teacher.load(str(tuned.folder))
    assert teacher.labels == ("right", "left")
    assert teacher.fingerprint == tuned.fingerprint
    assert 0.3 > tuned.losses[0] > 2 * tuned.losses[-1]  # the head comes first: it starts low
    assert steps == [(step, 50) for step in range(1, 51)]
    assert tuned.steps == 50
    decisions = teacher.score(TEXTS).probabilities.argmax(axis=1)
    assert [teacher.labels[index] for index in decisions] == LABELS


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_a_rare_class_stays_as_rare_as_it_is(tiny_bert: Path, tmp_path: Path, validation: float) -> None:
    # One text, said to be "right" once in ten times: batches draw it as often as "left".
    tuned = tune(
        tiny_bert, tmp_path / "made", texts=["ab"] * 200, labels=(["right"] + ["left"] * 9) * 20,
        validation=validation, epochs=4,
    )  # fmt: skip
    right, left = Teacher.load(str(tuned.folder)).score(["ab"]).probabilities[0]
    assert right == pytest.approx(0.1, abs=0.05)
    assert right + left == pytest.approx(1.0)
    if validation:  # what is held out comes as it is
        assert tuned.held_out[-1] == pytest.approx(-0.1 * np.log(0.1) - 0.9 * np.log(0.9), abs=0.05)


def test_one_seed_gives_one_model_bit_for_bit(tiny_bert: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = tune(tiny_bert, tmp_path / "first")
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(4)
    second = tune(tiny_bert, tmp_path / "second")
    other = tune(tiny_bert, tmp_path / "other", seed=2)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert first.losses == second.losses != other.losses


def test_frozen_word_embeddings_do_not_move(tiny_bert: Path, tmp_path: Path) -> None:
    start = weights(tiny_bert)["embeddings.word_embeddings.weight"]
    name = "bert.embeddings.word_embeddings.weight"
    frozen = weights(tune(tiny_bert, tmp_path / "frozen", freeze_embeddings=True).folder)
    free = weights(tune(tiny_bert, tmp_path / "free", freeze_embeddings=False).folder)
    assert np.array_equal(frozen[name], start)
    assert not np.array_equal(free[name], start)


def test_frozen_layers_do_not_move(tiny_bert: Path, tmp_path: Path) -> None:
    start = weights(tiny_bert)
    after = weights(tune(tiny_bert, tmp_path / "made", freeze_layers=1).folder)
    moved = {name for name, value in start.items() if not np.array_equal(after[f"bert.{name}"], value)}
    assert moved
    assert all(name.startswith(("encoder.layer.1.", "pooler.")) for name in moved)
    free = weights(tune(tiny_bert, tmp_path / "free").folder)
    assert not np.array_equal(free["bert.embeddings.LayerNorm.weight"], start["embeddings.LayerNorm.weight"])


def test_a_head_for_another_task_is_replaced(tiny_bert: Path, tmp_path: Path) -> None:
    two = tune(tiny_bert, tmp_path / "two", epochs=1)
    labels = ["p", "q", "r", "s"] * 10
    four = tune(two.folder, tmp_path / "four", epochs=1, labels=labels, classes=["s", "r", "q", "p"])
    assert Teacher.load(str(four.folder)).labels == ("s", "r", "q", "p")


def test_nothing_is_printed(tiny_bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tune(tiny_bert, tmp_path / "made", epochs=1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS[1:]}, "40 texts and 39 labels"),
        ({"labels": ["up", *LABELS[1:]]}, "label 0 is 'up'; allowed are right, left"),
        ({"classes": ["left", "right", "up"]}, "class 'up' has no labelled text"),
        ({"classes": ["left", "left"]}, "two or more different names"),
        ({"texts": ["\ud800", *TEXTS[1:]]}, "text 0 is not valid Unicode"),
        ({"epochs": 0}, "must be at least 1"),
        ({"learning_rate": float("nan")}, "above 0"),
        ({"max_length": 65}, "this model allows 3 to 64"),
        ({"freeze_layers": 3}, "allows 0 to 2"),
        ({"validation": 0.6}, "validation is 0.6; allowed is 0 to 0.5"),
        ({"device": "abacus"}, "'abacus'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    tiny_bert: Path, tmp_path: Path, change: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tune(tiny_bert, tmp_path / "made", **change)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_not_overwritten(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(ConflictError, match="there already"):
        tune(tiny_bert, tmp_path / "made")


def test_an_interrupted_run_leaves_nothing(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("transformers.BertTokenizer.save_pretrained", full_disk)
    with pytest.raises(OSError, match="no space"):
        tune(tiny_bert, tmp_path / "made", epochs=1)
    assert list(tmp_path.iterdir()) == []


def noisy(n: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts whose label is that of their word in four of five cases."""
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 2, n)
    labels = np.where(rng.random(n) < 0.2, 1 - words, words)
    return [["aa", "bb"][word] for word in words], [["left", "right"][label] for label in labels]


def test_rows_held_out_end_the_training_and_calibrate(tiny_bert: Path, tmp_path: Path) -> None:
    texts, labels = noisy(500, 0)
    progress: list[tuple[int, int]] = []
    tuned = tune(
        tiny_bert, tmp_path / "made", texts=texts, labels=labels, classes=["left", "right"], epochs=30,
        batch_size=32, learning_rate=5e-3, progress=lambda done, all_: progress.append((done, all_)),
    )  # fmt: skip
    assert len(tuned.held_out) == len(tuned.losses) < 30
    assert progress[-1][0] == progress[-1][1]
    assert tuned.steps == len(tuned.losses) * -(-450 // 32)
    # The word says what is right in 80 % of the cases, and so do the probabilities.
    probabilities = Teacher.load(str(tuned.folder)).score(["aa", "bb"]).probabilities
    assert probabilities[0, 0] == pytest.approx(0.8, abs=0.12)
    assert probabilities[1, 1] == pytest.approx(0.8, abs=0.12)


def test_too_few_texts_are_all_trained_on(tiny_bert: Path, tmp_path: Path) -> None:
    tuned = tune(tiny_bert, tmp_path / "made", epochs=1)
    assert (tuned.held_out, tuned.temperature) == ((), 1.0)


def test_the_teacher_applies_the_temperature_and_refuses_nonsense(tiny_bert: Path, tmp_path: Path) -> None:
    tuned = tune(tiny_bert, tmp_path / "made", epochs=1)
    config = tuned.folder / "config.json"
    read = json.loads(config.read_text())
    plain = Teacher.load(str(tuned.folder)).score(["aa", "bb"]).probabilities
    config.write_text(json.dumps({**read, TEMPERATURE: 2.0}))
    cooled = Teacher.load(str(tuned.folder)).score(["aa", "bb"]).probabilities
    odds = np.log(plain[:, 0] / plain[:, 1])
    assert np.log(cooled[:, 0] / cooled[:, 1]) == pytest.approx(odds / 2, abs=1e-4)
    for nonsense in (0, "hot", True, None):
        config.write_text(json.dumps({**read, TEMPERATURE: nonsense}))
        with pytest.raises(InputError, match=r"pingti_temperature in config\.json is"):
            Teacher.load(str(tuned.folder))


def spelled(n: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts of the label of a pair of letters in them, which an encoder that knows nothing tells badly."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("cdefghij"))
    texts, labels = [], []
    for side in rng.integers(0, 2, n).tolist():
        noise = ["".join(rng.choice(letters, 4)) for _ in range(3)]
        noise[int(rng.integers(3))] += ("qk", "kq")[side]
        texts.append(" ".join(noise))
        labels.append(("left", "right")[side])
    return texts, labels


def test_ngrams_decide_where_the_encoder_tells_less(tiny_bert: Path, tmp_path: Path) -> None:
    texts, labels = spelled(400, 0)
    tuned = tune(tiny_bert, tmp_path / "made", texts=texts, labels=labels, epochs=1, learning_rate=1e-6)
    assert tuned.quality is not None
    assert tuned.quality == Quality.read(tuned.folder)
    assert tuned.quality.rows == 40
    assert tuned.quality.frozen < 0.8 < tuned.quality.ngram
    assert tuned.quality.teacher >= tuned.quality.ngram
    assert tuned.ngram_share >= 0.5
    teacher = Teacher.load(str(tuned.folder))
    assert teacher.fingerprint == tuned.fingerprint
    unseen, right = spelled(300, 1)
    decided = [teacher.labels[number] for number in teacher.score(unseen).probabilities.argmax(axis=1)]
    assert np.mean(np.array(decided) == right) > 0.85
    # The n-grams are a part of what the teacher is.
    (tuned.folder / ngrams.FILE).unlink()
    alone = Teacher.load(str(tuned.folder))
    assert alone.fingerprint != tuned.fingerprint
    decided = [alone.labels[number] for number in alone.score(unseen).probabilities.argmax(axis=1)]
    assert np.mean(np.array(decided) == right) < 0.8


def test_where_the_encoder_tells_all_it_decides_alone(tiny_bert: Path, tmp_path: Path) -> None:
    texts, labels = noisy(400, 0)
    tuned = tune(tiny_bert, tmp_path / "made", texts=texts, labels=labels)
    assert tuned.ngram_share == 0.0
    assert not (tuned.folder / ngrams.FILE).exists()
    classifier = transformers.pipeline(
        "text-classification", model=str(tuned.folder), tokenizer=str(tuned.folder), device="cpu"
    )
    unseen = ["aa", "bb", "ab"]
    teacher = Teacher.load(str(tuned.folder))
    decided = [teacher.labels[number] for number in teacher.score(unseen).probabilities.argmax(axis=1)]
    assert [answer["label"] for answer in classifier(unseen)] == decided


def test_a_fine_tuning_that_does_harm_is_left_out(tiny_bert: Path, tmp_path: Path) -> None:
    texts, labels = noisy(400, 0)
    tuned = tune(tiny_bert, tmp_path / "made", texts=texts, labels=labels, epochs=1, learning_rate=0.5)
    assert not tuned.tuned
    assert tuned.quality is not None
    assert tuned.quality.teacher == tuned.quality.frozen
    assert tuned.ngram_share == 0.0
    start, after = weights(tiny_bert), weights(tuned.folder)
    for name in ("embeddings.LayerNorm.weight", "encoder.layer.1.attention.self.query.weight"):
        assert np.array_equal(start[name], after[f"bert.{name}"])
    decided = Teacher.load(str(tuned.folder)).score(["aa", "bb"]).probabilities.argmax(axis=1)
    assert decided.tolist() == [1, 0]  # right, left


def test_without_rows_kept_aside_nothing_is_said_of_quality(tiny_bert: Path, tmp_path: Path) -> None:
    tuned = tune(tiny_bert, tmp_path / "made", epochs=1)
    assert (tuned.quality, tuned.ngram_share, tuned.tuned) == (None, 0.0, True)
    assert Quality.read(tuned.folder) is None
