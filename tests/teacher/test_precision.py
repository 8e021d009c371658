from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pingti.errors import InputError
from teacher.bert import Teacher, describe
from teacher.cache import CachedTeacher
from teacher.finetune import Recipe, fine_tune
from teacher.precision import PRECISIONS, activation_bits, prepared, resolve_precision

TEXTS = ["a b c", "aa bb", "x y z", "xx yy zz x", "a", "n m n m n m"]


@pytest.fixture(scope="module")
def model(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("precision") / "model"
    labels = ["left", "left", "right", "right", "left", "right"]
    rng = np.random.default_rng(0)
    fine_tune(
        str(tiny_bert),
        TEXTS,
        labels,
        classes=["left", "right"],
        out=out,
        rng=rng,
        recipe=Recipe(epochs=3, learning_rate=3e-3),
    )
    return str(out)


def scored(model: str, precision: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    answers = Teacher.load(model, precision=precision, device="cpu").score(TEXTS)
    return answers.probabilities, answers.vectors


@pytest.mark.parametrize(("precision", "off"), [("bfloat16", 0.02), ("int8", 0.02)])
def test_fewer_bits_decide_nearly_alike(model: str, precision: str, off: float) -> None:
    exact, vectors = scored(model, "float32")
    rough, rough_vectors = scored(model, precision)
    assert rough.dtype == rough_vectors.dtype == np.float32
    np.testing.assert_allclose(rough, exact, atol=off)
    assert not np.array_equal(rough, exact)  # it was used at all
    np.testing.assert_allclose(rough.sum(axis=1), 1.0, atol=1e-5)
    cosine = (rough_vectors * vectors).sum(axis=1) / (
        np.linalg.norm(rough_vectors, axis=1) * np.linalg.norm(vectors, axis=1)
    )
    assert cosine.min() > 0.999


def test_every_precision_has_a_cache_of_its_own(model: str, tmp_path: Path) -> None:
    prints = {name: describe(model, precision=name, device="cpu").fingerprint for name in PRECISIONS}
    assert len(set(prints.values())) == 3
    # None is float32 on a CPU: answers that were paid for stay.
    assert describe(model, device="cpu").fingerprint == prints["float32"]
    for name in PRECISIONS:
        described = describe(model, precision=name, device="cpu")
        cached = CachedTeacher.open(described, tmp_path, device="cpu")
        cached.score(TEXTS)
        assert (cached.fingerprint, cached.rows_scored) == (prints[name], len(TEXTS))


def test_int8_is_the_product_of_rounded_numbers_for_any_number_of_rows() -> None:
    rng = torch.Generator().manual_seed(0)
    for rows, inputs, outputs in ((1, 32, 16), (7, 48, 64), (130, 64, 32)):
        linear = torch.nn.Linear(inputs, outputs)
        with torch.no_grad():
            linear.weight[0] *= 100  # one loud output must not spoil the others
        x = torch.randn(rows, inputs, generator=rng)
        exact = linear(x)
        products = prepared(torch.nn.Sequential(linear), "int8")(x)
        # Half a step of each of the two, for every term of the product.
        levels = 2 ** activation_bits() - 1
        steps = (x.max() - x.min()) / levels / 2, linear.weight.abs().amax(dim=1) / 127 / 2
        bound = steps[0] * linear.weight.abs().sum(dim=1) + steps[1] * x.abs().sum(dim=1, keepdim=True)
        error = (products - exact).abs()
        assert (error <= 1.05 * bound + 1e-3).all()
        assert error.max() > 0


def test_int8_of_zeros_and_of_layers_without_a_bias() -> None:
    plain = prepared(torch.nn.Sequential(torch.nn.Linear(16, 8, bias=False)), "int8")
    assert torch.equal(plain(torch.zeros(2, 3, 16)), torch.zeros(2, 3, 8))


def test_what_is_not_allowed_is_refused(model: str) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert resolve_precision(None, cpu) == "float32"
    assert resolve_precision(None, gpu) == "bfloat16"
    with pytest.raises(
        InputError, match="precision 'int4' is not known; allowed are float32, bfloat16, int8"
    ):
        describe(model, precision="int4", device="cpu")
    with pytest.raises(InputError, match="int8 is for a CPU; on cuda allowed are float32 and bfloat16"):
        resolve_precision("int8", gpu)
