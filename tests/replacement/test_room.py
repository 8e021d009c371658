"""The room's public name, and what it does without."""

import subprocess
import sys

import pytest

import replacement
from replacement.training import loop


def test_the_public_name_is_the_loop() -> None:
    assert replacement.__all__ == ["replace"]
    assert replacement.replace is loop.replace
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = replacement.nothing


@pytest.mark.parametrize(
    "modules",
    [
        "replacement, replacement.training",
        "replacement.results",
        "replacement.second.process",
        "teacher.sources.kept, teacher.endpoints.chat, teacher.endpoints.classifier",  # an endpoint's
    ],
)
def test_what_trains_nothing_loads_neither_faiss_nor_torch(modules: str) -> None:
    program = f"import sys, {modules}\nprint(sorted({{'faiss', 'torch', 'transformers'}} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
