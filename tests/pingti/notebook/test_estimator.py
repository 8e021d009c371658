"""PingtiClassifier beside what scikit-learn expects of a classifier of texts."""

import warnings

import numpy as np
import pyarrow as pa
import pytest

from pingti.errors import InputError
from tests.support.texts import made_texts

sklearn = pytest.importorskip("sklearn", reason="PingtiClassifier is an estimator of scikit-learn")

from pingti import PingtiClassifier  # noqa: E402

SMALL = {"epochs": 12, "vocabulary": 200, "embedding": 16, "filters": 16, "widths": (1, 2), "random_state": 0}


def test_it_learns_labels_of_any_kind() -> None:
    texts, topics = made_texts(300)
    unseen, expected = made_texts(100, seed=9)
    classifier = PingtiClassifier(**SMALL).fit(texts, topics)
    assert classifier.classes_.tolist() == ["other", "sport", "tech"]
    assert classifier.score(unseen, expected) > 0.95
    probabilities = classifier.predict_proba(np.array(unseen))
    assert probabilities.shape == (100, 3)
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    assert classifier.predict("goal match team coach").tolist() == ["sport"]
    numbers = [topic == "tech" for topic in topics]
    assert PingtiClassifier(**SMALL).fit(pa.array(texts), numbers).predict(["chip server code"]).tolist() == [
        True
    ]


def test_the_same_seed_gives_the_same_student() -> None:
    texts, topics = made_texts(60)
    first, again, other = (
        PingtiClassifier(**{**SMALL, "random_state": seed}).fit(texts, topics).predict_proba(texts)
        for seed in (0, np.random.RandomState(0), 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_weights_count() -> None:
    texts = ["same text"] * 40
    labels = ["a", "b"] * 20
    weights = [1.0, 0.0] * 20
    assert PingtiClassifier(**SMALL).fit(texts, labels, weights).predict(texts[:1]).tolist() == ["a"]
    assert PingtiClassifier(**SMALL).fit(texts, labels, weights[::-1]).predict(texts[:1]).tolist() == ["b"]
    rare = PingtiClassifier(**SMALL, class_weight="balanced").fit(texts, ["a"] * 36 + ["b"] * 4)
    assert abs(rare.predict_proba(texts[:1])[0, 0] - 0.5) < 0.2


def test_it_stands_in_pipelines_and_searches() -> None:
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    texts, topics = made_texts(150)
    classifier = PingtiClassifier(**SMALL)
    assert clone(classifier).get_params() == classifier.get_params()
    assert cross_val_score(classifier, texts, topics, cv=3).min() > 0.8
    lower = FunctionTransformer(lambda some: [text.lower() for text in some])
    assert make_pipeline(lower, classifier).fit(texts, topics).predict(["GOAL MATCH"]).tolist() == ["sport"]
    search = GridSearchCV(classifier, {"filters": [8, 16]}, cv=2).fit(texts, topics)
    assert search.best_params_["filters"] in (8, 16)


def test_what_scikit_learn_checks_of_every_estimator() -> None:
    """``check_estimator`` leaves out estimators of texts as a whole; these are its checks without numbers."""
    from sklearn.utils import estimator_checks

    names = [
        "check_estimator_cloneable",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_estimator_repr",
        "check_no_attributes_set_in_init",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_mixin_order",
    ]
    for name in names:
        getattr(estimator_checks, name)("PingtiClassifier", PingtiClassifier())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.SkipTestWarning)
        estimator_checks.check_estimator(PingtiClassifier())


@pytest.mark.parametrize(
    ("texts", "labels", "changes", "message"),
    [
        (["a", None, "b", float("nan")], [1, 2, 1, 2], {}, "^X: row 1 has no text, and 1 more have none"),
        (["a", "b"], None, {}, "^y: PingtiClassifier requires y"),
        (["a", "b"], [1], {}, "^y: 1 labels of 2 texts"),
        (["a", "b"], [1, 1], {}, r"^y: one class alone, \[1\]"),
        (["a", "b"], [1.0, float("nan")], {}, "^y: row 1 has no label"),
        (["a", "b"], np.array(["x", None], object), {}, "^y: row 1 has no label"),
        (pa.table({"post": ["a"]}), [1], {}, "with the columns 'post' was given"),
        ([[1.0], [2.0]], [1, 2], {}, "row 0 is list"),
        (np.zeros((2, 2)), [1, 2], {}, "an array of 2 dimensions"),
        (["a", "b"], [1, 2], {"class_weight": "even"}, "^class_weight is 'even'; allowed"),
        (["a", "b"], [1, 2], {"sample_weight": [1.0, -1.0]}, "^sample_weight: shape"),
    ],
)
def test_what_does_not_fit_is_refused(texts, labels, changes, message: str) -> None:
    changes = dict(changes)
    weights = changes.pop("sample_weight", None)
    with pytest.raises(InputError, match=message):
        PingtiClassifier(**{**SMALL, **changes}).fit(texts, labels, weights)


def test_before_fit_there_is_nothing_to_ask() -> None:
    with pytest.raises(sklearn.exceptions.NotFittedError):
        PingtiClassifier().predict(["a"])
    fitted = PingtiClassifier(**SMALL).fit(*made_texts(30))
    with pytest.raises(InputError, match="row 0 has no text"):
        fitted.predict([None])
