"""What small files could unpack to: refused in a sentence, or read in bounded memory and disk."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bombs import BOMBS

_ADDRESS_BYTES = 3 << 30  # code, threads' stacks and Arrow's pools lie in it, too
_WRITTEN_BYTES = 20 << 20  # a list of 100,000 bad rows is the largest of what is written

_CLASSIFY = """\
import json, resource, sys
from pathlib import Path

import pyarrow as pa

from pingti.corpus.columns import Columns
from pingti.errors import InputError
from pingti.inference.classifier import Classifier
from pingti.inference.files import classify_files
from pingti.workspace.registry import Workspace

workspace, out, most, *paths = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_AS, (int(most), int(most)))
pa.set_cpu_count(2)
pa.set_io_thread_count(2)
classifier = Classifier.of(Workspace(workspace), ["sport"])
for path in paths:
    results = Path(out, Path(path).name)
    ended = {"name": Path(path).name, "refusal": "", "rows": (0, 0)}
    try:
        counts = classify_files([path], Columns(), classifier, results, threads=2)
        ended["rows"] = counts.completed, counts.failed
    except InputError as error:
        ended["refusal"] = str(error)
    ended["bytes"] = sum(file.stat().st_size for file in results.rglob("*") if file.is_file())
    print(json.dumps(ended), flush=True)
"""


@pytest.fixture(scope="module")
def ended(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of each file, all read by one process whose memory is limited."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, bomb in BOMBS.items():
        bomb.write(folder / name)
    paths = [str(folder / name) for name in BOMBS]
    arguments = [str(_workspace_template), str(folder / "out"), str(_ADDRESS_BYTES), *paths]
    ran = subprocess.run(
        [sys.executable, "-c", _CLASSIFY, *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return {line["name"]: line for line in map(json.loads, ran.stdout.splitlines())}


@pytest.mark.parametrize("name", BOMBS)
def test_it_is_refused_or_read_within_bounds(ended: dict[str, dict[str, Any]], name: str) -> None:
    bomb, seen = BOMBS[name], ended[name]
    assert bomb.refusal in seen["refusal"]
    assert bool(bomb.refusal) == bool(seen["refusal"])
    assert tuple(seen["rows"]) == bomb.rows
    if bomb.refusal:
        assert name in seen["refusal"]
        assert "\n" not in seen["refusal"]
        assert seen["bytes"] == 0
    assert seen["bytes"] < _WRITTEN_BYTES
