"""The teachers of the shared cases: each is replaced, or refused in a sentence before any row is scored."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pingti.checks.task import check_task
from pingti.errors import DefinitionError
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from replacement.training.loop import replace
from teacher.bert import Teacher
from tests.support.paths import SHARED
from tests.support.teachers import DEFINITION, notes_beside_size

MAKE = SHARED / "cases" / "teachers" / "make.py"
WITH_LABEL = {"multi_label": 'label = "taste"'}
UNEVEN = ("one_logit", "label_0_label_1")
KINDS = (
    "bert", "electra_narrow_embedding", "albert_narrow_embedding", "gpt2_no_pad", "multi_label", "one_logit",
    "label_0_label_1",
)  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not MAKE.is_file():
        pytest.skip("needs the shared cases beside the repository")
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, str(MAKE), str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_shared_teacher_becomes_a_promoted_student(models: Path, kind: str, tmp_path: Path) -> None:
    words = ["好吃", "送货", "太慢", "便宜", "味道", "不错", "太贵", "准时", "难吃", "下次", "再来", "包装"]
    texts = [f"{a}{b}{c}" for a in words for b in words for c in words[:4] if a != b]
    (tmp_path / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"id": str(number), "text": text}) for number, text in enumerate(texts))
    )
    values = {"budget": 400, "margin": 0.0, "gate": 0.01, "rounds": 2}
    text = DEFINITION.format(classes='["no", "yes"]', model=json.dumps(str(models / kind)), **values)
    text = text.replace("[gate]", '[gate]\nunmeasured = "allow"')
    workspace = Workspace(tmp_path)
    plain = workspace.add_task("t", text)
    if kind in WITH_LABEL:
        with pytest.raises(DefinitionError, match="says which one the task asks for"):
            check_task("t", plain.definition, workspace, plain.path)
    section = WITH_LABEL.get(kind, "")
    if kind in UNEVEN:  # of its random answers half are to be a yes
        yes = Teacher.load(str(models / kind)).score(texts).probabilities[:, -1]
        section = f"threshold = {float(np.median(yes))!r}"
    entry = workspace.add_task("t", text.replace("[student]", f"{section}\n[student]"))
    check_task("t", entry.definition, workspace, entry.path)
    outcome = replace(entry)
    promotion.promote(entry, outcome.version, who="tests", why="made for the tests")
    assert entry.current() == outcome.version
    assert bool(notes_beside_size(outcome.report)) == (kind in UNEVEN)
