from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pingti.errors import InputError
from teacher import ngrams
from teacher.ngrams import FILE, NGrams

TEXTS = ["red apples", "a red  rose", "Red wine", "blue sky", "the BLUE sea", "blue jeans"]
ANSWERS = np.array([0, 0, 0, 1, 1, 1])


def fit(seed: int = 0) -> NGrams:
    return ngrams.fit(TEXTS, ANSWERS, 3, np.random.default_rng(seed))


def test_it_decides_by_what_texts_have_in_common() -> None:
    decided = fit().logits([*TEXTS, "RED\tbricks", "blue", "红"]).argmax(axis=1)
    assert decided[:8].tolist() == [*ANSWERS.tolist(), 0, 1]


def test_a_class_without_a_text_is_never_likeliest() -> None:
    assert fit().logits([*TEXTS, "", "红"]).argmax(axis=1).max() <= 1


def test_it_is_a_linear_support_vector_machine() -> None:
    """Known weights: two texts of one n-gram each, which differ in the sign of their class alone."""
    rng = np.random.default_rng(0)
    texts = [f"{word} {number}" for number in range(60) for word in ("uno", "dos")]
    answers = np.tile([0, 1], 60)
    logits = ngrams.fit(texts, answers, 2, rng).logits(texts)
    # Of two classes the machines are each other's mirror image, and right rows are about a unit away from 0.
    np.testing.assert_allclose(logits[:, 0], -logits[:, 1], atol=0.05)
    assert np.abs(logits[np.arange(120), answers] - 1.0).max() < 0.3


def test_one_seed_gives_one_model() -> None:
    assert np.array_equal(fit(1).weights, fit(1).weights)
    assert np.array_equal(fit(1).hashes, fit(2).hashes)


def test_the_order_of_learning_has_no_say() -> None:
    """The optimum is one: machines that stopped before it differ by the order of their rows."""
    rng = np.random.default_rng(4)
    words = np.array(["uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho"])
    texts = [" ".join(words[rng.integers(0, 8, 6)]) for _ in range(300)]
    answers = rng.integers(0, 2, 300)  # nothing to be learned: most rows are on the wrong side
    one, other = (ngrams.fit(texts, answers, 2, np.random.default_rng(seed)) for seed in (1, 2))
    np.testing.assert_allclose(one.weights, other.weights, atol=0.002)
    assert np.abs(one.weights).max() > 0.5


def test_no_texts_have_no_logits() -> None:
    assert fit().logits([]).shape == (0, 3)
    assert np.isfinite(fit().logits(["", " ", "\U0001f600"])).all()


def test_the_most_frequent_ngrams_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit()
    monkeypatch.setattr(ngrams, "_MOST_FEATURES", 20)
    part = fit()
    assert len(part.hashes) == 20 < len(whole.hashes)
    assert np.isin(part.hashes, whole.hashes).all()
    assert part.logits(TEXTS).argmax(axis=1).tolist() == ANSWERS.tolist()


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = fit().scaled(2.5)
    model.save(tmp_path)
    read = NGrams.load(tmp_path, 3)
    assert read is not None
    assert np.array_equal(read.logits(TEXTS), model.logits(TEXTS))
    np.testing.assert_allclose(model.logits(TEXTS), fit().logits(TEXTS) * 2.5, rtol=1e-5)
    assert NGrams.load(tmp_path / "elsewhere", 3) is None


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    fit().save(tmp_path)
    with pytest.raises(InputError, match=r"ngrams\.safetensors does not fit the model's 4 classes"):
        NGrams.load(tmp_path, 4)
    tensors = load_file(tmp_path / FILE)
    for name in tensors:
        save_file({other: value for other, value in tensors.items() if other != name}, tmp_path / FILE)
        with pytest.raises(InputError, match=r"ngrams\.safetensors cannot be read"):
            NGrams.load(tmp_path, 3)
    for broken in (b"", b"x" * 40):
        (tmp_path / FILE).write_bytes(broken)
        with pytest.raises(InputError, match=r"ngrams\.safetensors cannot be read"):
            NGrams.load(tmp_path, 3)


def test_out_of_fold_no_text_is_decided_by_itself() -> None:
    """Labels by chance: a model that had seen a text would know it."""
    rng = np.random.default_rng(0)
    texts = [f"{rng.integers(1 << 40):x} {rng.integers(1 << 40):x}" for _ in range(300)]
    answers = rng.integers(0, 2, 300)
    decided = ngrams.decide_out_of_fold(texts, answers, 2, rng)
    assert 0.35 < (decided == answers).mean() < 0.65
    seen = ngrams.fit(texts, answers, 2, rng).logits(texts).argmax(axis=1)
    assert (seen == answers).mean() > 0.95
