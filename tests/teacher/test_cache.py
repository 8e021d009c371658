import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pingti.errors import ArtifactError, InputError
from teacher.bert import Scored, Teacher, describe
from teacher.cache import CachedTeacher, ScoreCache
from teacher.finetune import Recipe, fine_tune

# Scores texts in a process of its own: model, folder, first and last number of the texts. Prints a
# hash of the answers to the texts 1000 to 2499.
SCORE = """
import hashlib, sys
from pathlib import Path
from teacher.bert import describe
from teacher.cache import CachedTeacher
first, last = map(int, sys.argv[3:])
texts = [f"text {number} of many" for number in range(first, last)]
scored = CachedTeacher.open(describe(sys.argv[1]), Path(sys.argv[2])).score(texts)
shared = slice(1000 - first, 2500 - first)
print(hashlib.sha256(scored.probabilities[shared].tobytes() + scored.vectors[shared].tobytes()).hexdigest())
"""


def texts_of(first: int, last: int) -> list[str]:
    return [f"text {number} of many" for number in range(first, last)]


def start(model: Path, folder: Path, first: int, last: int) -> subprocess.Popen[str]:
    arguments = [str(model), str(folder), str(first), str(last)]
    return subprocess.Popen([sys.executable, "-c", SCORE, *arguments], stdout=subprocess.PIPE, text=True)


def same(first: Scored, second: Scored) -> bool:
    return np.array_equal(first.probabilities, second.probabilities) and np.array_equal(
        first.vectors, second.vectors
    )


@pytest.fixture(scope="module")
def model(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cached") / "model"
    rng = np.random.default_rng(0)
    recipe = Recipe(epochs=1)
    fine_tune(str(tiny_bert), ["a", "b"], ["x", "y"], classes=["x", "y"], out=out, rng=rng, recipe=recipe)
    return out


@pytest.fixture(scope="module")
def teacher(model: Path) -> Teacher:
    return Teacher.load(str(model))


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.arrow"))


def test_fresh_cached_and_reopened_answers_have_the_same_bits(teacher: Teacher, tmp_path: Path) -> None:
    texts = ["a", "bb", "", "a", "谁", "bb"]
    plain = teacher.score(["a", "bb", "", "谁"])
    cached = CachedTeacher.open(teacher, tmp_path)
    assert not cached.cached(texts).any()
    done: list[int] = []
    fresh = cached.score(texts, progress=done.append)
    assert cached.rows_scored == 4
    assert sum(done) == 6
    assert np.array_equal(fresh.probabilities, plain.probabilities[[0, 1, 2, 0, 3, 1]])
    assert np.array_equal(
        fresh.vectors, plain.vectors[[0, 1, 2, 0, 3, 1]].astype(np.float16).astype(np.float32)
    )
    assert not np.array_equal(fresh.vectors[:2], plain.vectors[:2])
    assert same(cached.score(texts), fresh)
    again = CachedTeacher.open(teacher, tmp_path)
    assert again.cached([*texts, "new"]).tolist() == [True] * 6 + [False]
    done.clear()
    assert same(again.score(texts, progress=done.append), fresh)
    assert again.rows_scored == 0
    assert done == [6]


def test_the_order_of_many_chunks_is_that_of_the_texts(teacher: Teacher, tmp_path: Path) -> None:
    texts = texts_of(0, 1200)
    forward = CachedTeacher.open(teacher, tmp_path).score(texts)
    assert len(segments(tmp_path)) == 3
    shuffled = np.random.default_rng(1).permutation(1200)
    later = CachedTeacher.open(teacher, tmp_path).score([texts[row] for row in shuffled])
    assert np.array_equal(later.vectors, forward.vectors[shuffled])
    assert np.array_equal(later.probabilities, forward.probabilities[shuffled])
    np.testing.assert_allclose(forward.probabilities, teacher.score(texts).probabilities, atol=1e-5)


def test_no_texts_give_empty_arrays(teacher: Teacher, tmp_path: Path) -> None:
    scored = CachedTeacher.open(teacher, tmp_path).score([])
    assert scored.probabilities.shape == (0, 2)
    assert scored.vectors.shape == (0, 32)
    assert segments(tmp_path) == []


def test_weights_are_loaded_only_when_a_text_is_missing(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    first = CachedTeacher.open(describe(str(copy)), tmp_path / "cache").score(["a", "b"])
    lazy = CachedTeacher.open(describe(str(copy)), tmp_path / "cache")
    (copy / "model.safetensors").unlink()
    assert same(lazy.score(["b", "a"]), Scored(first.probabilities[::-1], first.vectors[::-1]))
    assert lazy.labels == ("x", "y")
    with pytest.raises(InputError, match="the weights cannot be loaded"):
        lazy.score(["c"])


def test_text_without_a_utf8_form_is_refused(teacher: Teacher, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="text 1 is not valid Unicode"):
        CachedTeacher.open(teacher, tmp_path).score(["fine", "\udc80"])


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_bits(model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    child = start(model, folder, 0, 100_000)
    while child.poll() is None and len(segments(folder)) < 3:
        time.sleep(0.005)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert child.stdout is not None
    child.stdout.close()
    stored = 512 * len(segments(folder))
    assert 3 * 512 <= stored < 50_000
    # What a kill in the middle of a write leaves:
    leftover = segments(folder)[0].with_name(".00000099-00.arrow.5e2d")
    leftover.write_bytes(b"ARROW1")

    texts = texts_of(0, stored + 1000)
    resumed = CachedTeacher.open(describe(str(model)), folder)
    assert resumed.cached(texts).tolist() == [True] * stored + [False] * 1000
    answer = resumed.score(texts)
    assert resumed.rows_scored == 1000
    assert not leftover.exists()
    assert list(folder.glob("*/*.damaged")) == []
    undisturbed = CachedTeacher.open(describe(str(model)), tmp_path / "undisturbed").score(texts)
    assert same(answer, undisturbed)


def test_two_processes_share_a_cache(model: Path, tmp_path: Path) -> None:
    children = [start(model, tmp_path, 0, 2500), start(model, tmp_path, 1000, 4000)]
    printed = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    # A text that both computed has the answer that was stored first, for both.
    assert printed[0] == printed[1] != ""
    assert CachedTeacher.open(describe(str(model)), tmp_path).cached(texts_of(0, 4000)).all()
    assert sum(pa.ipc.open_file(path).get_batch(0).num_rows for path in segments(tmp_path)) == 4000
    assert list(tmp_path.glob("*/*.damaged")) == []


DAMAGE: list[Callable[[bytes], bytes]] = [
    lambda data: data[:-10],
    lambda data: b"",
    lambda data: data[:600] + bytes([data[600] ^ 1]) + data[601:],
    lambda data: data + b"\0",
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_segment_is_set_aside_and_its_rows_are_scored_again(
    teacher: Teacher, tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    CachedTeacher.open(teacher, tmp_path).score(["whole", "rows"])
    before = CachedTeacher.open(teacher, tmp_path).score(["damaged"])
    path = segments(tmp_path)[1]
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        cached = CachedTeacher.open(teacher, tmp_path)
    assert path.name in caplog.text
    assert "will score its rows again" in caplog.text
    assert cached.cached(["whole", "rows", "damaged"]).tolist() == [True, True, False]
    assert same(cached.score(["damaged"]), before)
    caplog.clear()
    assert CachedTeacher.open(teacher, tmp_path).cached(["whole", "rows", "damaged"]).all()
    assert caplog.text == ""


def test_a_segment_of_a_newer_format_is_refused(
    teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("teacher.cache._FORMAT", 2)
        CachedTeacher.open(teacher, tmp_path).score(["a"])
    with pytest.raises(ArtifactError, match="its format is 2 and this Pingti reads 1; update"):
        CachedTeacher.open(teacher, tmp_path)


def test_a_cache_of_other_labels_is_refused(teacher: Teacher, tmp_path: Path) -> None:
    CachedTeacher.open(teacher, tmp_path).score(["a"])
    with pytest.raises(ArtifactError, match="other labels or vectors than x, z and 32"):
        ScoreCache.open(tmp_path, teacher.fingerprint, ["x", "z"], 32)


def test_many_small_segments_are_joined_on_opening(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    keys = [ScoreCache.key(str(number)) for number in range(210)]
    answers = Scored(
        rng.random((210, 3), dtype=np.float32), rng.random((210, 5)).astype(np.float16).astype(np.float32)
    )
    cache = ScoreCache.open(tmp_path, "f", ["a", "b", "c"], 5)
    for at in range(0, 210, 3):
        cache.add(keys[at : at + 3], Scored(answers.probabilities[at : at + 3], answers.vectors[at : at + 3]))
    assert len(segments(tmp_path)) == 70
    reopened = ScoreCache.open(tmp_path, "f", ["a", "b", "c"], 5)
    assert len(segments(tmp_path)) == 1
    # The object that has the old segments open keeps its rows, sees the joined one and goes on.
    cache.add([ScoreCache.key("more")], Scored(answers.probabilities[:1], answers.vectors[:1]))
    assert len(reopened) == 210
    reopened.refresh()
    order = rng.permutation(210)
    for one in (cache, reopened, ScoreCache.open(tmp_path, "f", ["a", "b", "c"], 5)):
        assert len(one) == 211
        got = one.get(one.find([keys[row] for row in order]))
        assert same(got, Scored(answers.probabilities[order], answers.vectors[order]))


def test_an_answer_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    first = Scored(np.full((1, 2), 0.5, dtype=np.float32), np.ones((1, 4), dtype=np.float32))
    second = Scored(np.full((2, 2), 0.25, dtype=np.float32), np.zeros((2, 4), dtype=np.float32))
    old, new = ScoreCache.open(tmp_path, "f", ["a", "b"], 4), ScoreCache.open(tmp_path, "f", ["a", "b"], 4)
    key, other = ScoreCache.key("text"), ScoreCache.key("other")
    old.add([key], first)
    new.add([key, other], second)
    assert new.get(new.find([key, other])).probabilities[:, 0].tolist() == [0.5, 0.25]


def test_vectors_beyond_half_precision_stay_finite(tmp_path: Path) -> None:
    cache = ScoreCache.open(tmp_path, "f", ["a", "b"], 2)
    cache.add([b"k" * 16], Scored(np.full((1, 2), 0.5, np.float32), np.array([[1e9, -1e9]], np.float32)))
    assert cache.get(cache.find([b"k" * 16])).vectors.tolist() == [[65504.0, -65504.0]]
