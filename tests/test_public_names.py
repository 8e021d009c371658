"""The names that users of the packages rely on: a change of them is to be a decision."""

import importlib
import subprocess
import sys

import pytest

NAMES = {
    "pingti": {
        "AsyncClient", "Classifier", "Client", "PingtiClassifier", "SimilarityStudent",
        "Student", "Workspace", "load", "replace",
    },
    "sampling": {
        "Clusters", "breaking_ties", "by_need", "cluster", "committee", "coverage", "hard_negatives",
        "hard_negatives_by_class", "likely_false", "near_duplicates", "neighbours", "open_questions",
        "random_rows",
    },
    "teacher": {
        "CachedTeacher", "Description", "FineTuned", "Recipe", "ScoreCache", "Scored", "Teacher", "describe",
        "fine_tune",
    },
    "textcnn": {"Architecture", "Encoded", "MultiScorer", "Student", "Vocabulary", "score_many"},
}  # fmt: skip


@pytest.mark.parametrize("package", NAMES)
def test_the_public_names_are_these(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) == NAMES[package]
    assert all(hasattr(module, name) for name in NAMES[package])
    assert not hasattr(module, "nothing")


@pytest.mark.parametrize("package", ["textcnn", "teacher"])
def test_a_package_is_imported_without_torch(package: str) -> None:
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
