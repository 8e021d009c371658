"""The names that users of the packages rely on: a change of them is to be a decision."""

import importlib

import pytest

NAMES = {
    "pingti": {"Classifier", "Client", "Student", "Workspace", "replace"},
    "textcnn": {"Architecture", "Encoded", "Panel", "Student", "Vocabulary", "score_many"},
    "sampling": {
        "Clusters",
        "breaking_ties",
        "by_need",
        "cluster",
        "committee",
        "competing",
        "competing_classes",
        "coverage",
        "least_confidence",
        "likely_false",
        "near_threshold",
        "neighbours",
        "random_rows",
    },
}


@pytest.mark.parametrize("package", NAMES)
def test_the_public_names_are_these(package: str) -> None:
    module = importlib.import_module(package)
    assert set(module.__all__) == NAMES[package]
    assert all(hasattr(module, name) for name in NAMES[package])
