"""The kernel on processors other than this machine's, as far as one machine can tell."""

import os
import re
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import numba
import pytest

from textcnn import kernel

TARGETS = {
    "AVX-512": ("x86_64-unknown-linux-gnu", "sapphirerapids", r"vpmaxsw.*zmm", r"vpaddw.*zmm"),
    "AVX2": ("x86_64-unknown-linux-gnu", "haswell", r"vpmaxsw.*ymm", r"vpaddw.*ymm"),
    "NEON": ("aarch64-unknown-linux-gnu", "neoverse-n1", r"smax\s+v\d+\.8h", r"add\s+v\d+\.8h"),
}


@pytest.fixture(scope="module")
def intermediate() -> str:
    maxima = kernel._block_3

    @numba.njit(numba.void(*[numba.int64] * 6), nogil=True)
    def alone(rows, windows, length, column, stride, best):
        maxima(rows, windows, length, column, stride, best)

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
from textcnn import Architecture, Encoded, Student, Vocabulary
from textcnn.fold import reference_score
from textcnn.network import TextCNN

rng = np.random.default_rng(0)
for widths, filters, wide in (((1, 2, 3), 128, 0), ((2, 7), 200, 64), ((4, 5), 33, 0)):
    shape = Architecture(embedding=8, filters=filters, widths=widths, wide=wide)
    vocabulary = Vocabulary([f"w{n}" for n in range(40)], buckets=9)
    student = Student.from_network(TextCNN(vocabulary.size, 2, shape, rng), vocabulary, ["no", "yes"])
    lengths = rng.integers(0, 30, 60)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 60, length)) + "表扬" for length in lengths]
    wanted = reference_score(student.folded, vocabulary.encode(texts), widths)
    assert np.abs(student.score(texts) - wanted).max() < 1e-5, (widths, filters)
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
