"""The kernel on processors other than this machine's, as far as one machine can tell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np
import pytest

from textcnn import Architecture, MultiScorer, Student, Vocabulary, kernel
from textcnn.fold import reference_score
from textcnn.network import TextCNN

TARGETS = {
    "AVX-512": ("x86_64-unknown-linux-gnu", "sapphirerapids", r"vpmaxsw.*zmm", r"vpaddw.*zmm"),
    "AVX2": ("x86_64-unknown-linux-gnu", "haswell", r"vpmaxsw.*ymm", r"vpaddw.*ymm"),
    "NEON": ("aarch64-unknown-linux-gnu", "neoverse-n1", r"smax\s+v\d+\.8h", r"addw?2?\s+v\d+\.8h"),
}


@pytest.fixture(scope="module", params=[numba.int16, numba.int8], ids=str)
def intermediate(request: pytest.FixtureRequest) -> str:
    maxima = kernel._block_3

    # A pointer in the place of the array: of both the type of the numbers is all that is looked at.
    @numba.njit(numba.void(numba.types.CPointer(request.param), *[numba.int64] * 6), nogil=True)
    def alone(table, rows, windows, length, column, stride, best):
        maxima(table, rows, windows, length, column, stride, best)

    llvmlite.binding.initialize_all_targets()
    llvmlite.binding.initialize_all_asmprinters()
    return next(iter(alone.inspect_llvm().values()))


@pytest.mark.parametrize(("triple", "cpu", "maximum", "addition"), TARGETS.values(), ids=TARGETS)
def test_the_inner_loop_uses_registers_of_full_width(
    intermediate: str, triple: str, cpu: str, maximum: str, addition: str
) -> None:
    text = re.sub('target triple = ".*"', f'target triple = "{triple}"', intermediate)
    text = re.sub('target datalayout = ".*"', "", text)
    module = llvmlite.binding.parse_assembly(text)
    machine = llvmlite.binding.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    assembly = machine.emit_assembly(module)
    assert len(re.findall(maximum, assembly)) >= 4
    assert len(re.findall(addition, assembly)) >= 8  # three rows of a window: two additions a maximum


_COMPARED = """
import numpy as np
from textcnn import Architecture, MultiScorer, Student, Vocabulary
from textcnn.fold import reference_score
from textcnn.network import TextCNN

rng = np.random.default_rng(0)
for widths, filters, wide in (((1, 2, 3), 128, 0), ((2, 7), 200, 64), ((4, 5), 33, 0)):
    shape = Architecture(embedding=8, filters=filters, widths=widths, wide=wide)
    vocabulary = Vocabulary([f"w{n}" for n in range(40)], buckets=9)
    student = Student.from_network(TextCNN(vocabulary.size, 2, shape, rng), vocabulary, ["no", "yes"])
    lengths = rng.integers(0, 30, 300)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 60, length)) + "表扬" for length in lengths]
    wanted = reference_score(student.folded, vocabulary.encode(texts), widths)
    assert np.abs(student.score(texts) - wanted).max() < 1e-5, (widths, filters)
    family = Student.family(TextCNN(vocabulary.size, 40, shape, rng), vocabulary, [["no", "yes"]] * 20)
    for member, scores in zip(family, MultiScorer(family).score(texts), strict=True):
        wanted = reference_score(member.folded, vocabulary.encode(texts), widths)
        assert np.abs(scores - wanted).max() < 1e-5, (widths, filters)
print("equal")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("cpu", "features"), [("haswell", "+avx2,+fma,+bmi,+bmi2"), ("x86-64", "")])
def test_older_processors_give_the_references_scores(cpu: str, features: str, tmp_path: Path) -> None:
    if "x86_64" not in llvmlite.binding.get_process_triple():
        pytest.skip("names processors of x86-64")
    environment = {
        **os.environ,
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    command = [sys.executable, "-c", _COMPARED]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.stdout.strip() == "equal", ran.stderr


@pytest.mark.parametrize("heads", [1, 2, 11, 12, 64, 65])
@pytest.mark.parametrize("count", [1, 3, 255, 256, 1001])
def test_any_number_of_heads_and_texts_gives_the_references_scores(heads: int, count: int) -> None:
    rng = np.random.default_rng(heads * count)
    shape = Architecture(embedding=4, filters=40, widths=(1, 3), wide=64)
    vocabulary = Vocabulary([f"w{n}" for n in range(30)], buckets=5)
    groups = [["no", "yes"]] * heads if heads % 2 else [["a", "b", "c"], *[["no", "yes"]] * (heads - 1)]
    network = TextCNN(vocabulary.size, sum(map(len, groups)), shape, rng)
    family = Student.family(network, vocabulary, groups)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 40, size)) for size in rng.integers(0, 9, count)]
    encoded = vocabulary.encode(texts)
    for member, scores in zip(family, MultiScorer(family).score(texts), strict=True):
        np.testing.assert_allclose(scores, reference_score(member.folded, encoded, (1, 3)), atol=2e-6)


def test_texts_are_ordered_by_their_rarest_token_and_none_is_lost() -> None:
    rng = np.random.default_rng(5)
    offsets = np.cumsum([0, *rng.integers(0, 6, 700)])
    ids = rng.integers(1, 90, offsets[-1]).astype(np.int32)
    order, sorted_ids, sorted_offsets = kernel.order_texts(ids, offsets)
    assert sorted(order) == list(range(700))
    highest = []
    for place, text in enumerate(order):
        mine = sorted_ids[sorted_offsets[place] : sorted_offsets[place + 1]]
        np.testing.assert_array_equal(mine, ids[offsets[text] : offsets[text + 1]])
        highest.append(mine.max(initial=0))
    assert highest == sorted(highest)


def test_probabilities_are_those_of_exact_arithmetic() -> None:
    logits = np.concatenate([np.linspace(-100, 100, 4001), [-1e30, 1e30, 0.0]]).astype(np.float32)
    probabilities = np.empty((len(logits), 2), np.float32)
    for logit, row in zip(logits, probabilities, strict=True):
        kernel.write_binary(np.array([logit]), row)
    wanted = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -700, 700)))
    np.testing.assert_allclose(probabilities[:, 1], wanted, rtol=5e-6, atol=2e-38)
    np.testing.assert_allclose(probabilities[:, 0], 1 - wanted, rtol=0, atol=1e-7)
