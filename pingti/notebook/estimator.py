"""The student as an estimator of scikit-learn: fitted on labels, without a teacher."""

from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.errors import InputError, UnavailableError
from pingti.extras import install_hint
from pingti.frames.texts import text_array
from textcnn import Architecture, Student, Vocabulary

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d
except ImportError as error:
    raise UnavailableError(f"PingtiClassifier needs scikit-learn: {install_hint('sklearn')}") from error


class PingtiClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A TextCNN that is trained on texts and their labels, as scikit-learn's classifiers are.

    A student that is to decide as a teacher does is ``pingti.replace``'s: it asks the teacher about further
    texts, measures on newer ones, and holds the result against a gate.

    Texts are a list, a Series, an array. A missing one is refused, as scikit-learn's labels have no null.

    Examples:
        >>> import pingti
        >>> classifier = pingti.PingtiClassifier(epochs=20, vocabulary=100, wide=0, random_state=0)
        >>> texts = ["the goal of the team", "the match", "a new chip", "the server of the browser"] * 20
        >>> labels = ["sport", "sport", "tech", "tech"] * 20
        >>> classifier.fit(texts, labels).predict(["the goal", "a new server"]).tolist()
        ['sport', 'tech']
        >>> classifier.predict_proba(["the goal"]).shape
        (1, 2)

    Args:
        epochs: passes over the rows.
        vocabulary: tokens known by name, the most frequent ones.
        embedding: dimensions of a token.
        filters: filters of each width.
        widths: how many neighbouring tokens a filter sees at once.
        wide: buckets of the wide part, a linear model of tokens and pairs of them; 0: none, else a power of
            two.
        class_weight: "balanced": each class counts as much as any other; None: each row does.
        random_state: every random choice comes from it: a seed or a RandomState; None: another each time.
    """

    classes_: NDArray[Any]
    """The labels, sorted: the columns of ``predict_proba``."""
    student_: Student
    """The student behind it; ``student_.save`` keeps it."""

    def __init__(
        self,
        *,
        epochs: int = 8,
        vocabulary: int = 8000,
        embedding: int = 256,
        filters: int = 128,
        widths: tuple[int, ...] = (1, 2, 3),
        wide: int = 1 << 17,
        class_weight: str | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.epochs = epochs
        self.vocabulary = vocabulary
        self.embedding = embedding
        self.filters = filters
        self.widths = widths
        self.wide = wide
        self.class_weight = class_weight
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on n texts.

        Args:
            X: n texts.
            y: (n,) their labels, of two or more classes.
            sample_weight: (n,) how much each counts; 1 for all where absent.

        Raises:
            InputError: another number of labels than texts, one class alone, no text at all, or parameters
                that are not allowed.
            UnavailableError: torch is not installed.
        """
        texts = _complete(X)
        labels, weights = _labels(y, len(texts)), _weights(sample_weight, len(texts))
        self.classes_, decided = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y: one class alone, {self.classes_.tolist()}; needed are two or more")
        try:
            from textcnn.train import Recipe, class_weights, train
        except ImportError as error:
            raise UnavailableError(f"to train needs torch: {install_hint('teacher')}") from error
        if self.class_weight == "balanced":
            weights *= class_weights(decided, len(self.classes_))
        elif self.class_weight is not None:
            raise InputError(f'class_weight is {self.class_weight!r}; allowed are "balanced" and None')
        vocabulary = Vocabulary.build(texts, size=self.vocabulary)
        network = train(
            vocabulary.encode(texts),
            np.eye(len(self.classes_), dtype=np.float32)[decided],
            size=vocabulary.size,
            architecture=Architecture(
                embedding=self.embedding, filters=self.filters, widths=tuple(self.widths), wide=self.wide
            ),
            rng=np.random.default_rng(check_random_state(self.random_state).randint(2**31)),
            weights=weights,
            recipe=Recipe(epochs=self.epochs),
        )
        self.student_ = Student.from_network(network, vocabulary, map(str, self.classes_.tolist()))
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Decide on n texts.

        Args:
            X: n texts.

        Returns:
            (n,) the likeliest label of each.

        Raises:
            InputError: a text is missing.
            NotFittedError: ``fit`` comes first.
        """
        likeliest = self.predict_proba(X).argmax(axis=1)
        decided: NDArray[Any] = self.classes_[likeliest]
        return decided

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """The class probabilities of n texts.

        Args:
            X: n texts.

        Returns:
            float32 (n, classes), in the order of ``classes_``.

        Raises:
            InputError: a text is missing.
            NotFittedError: ``fit`` comes first.
        """
        check_is_fitted(self, "student_")
        return self.student_.score(_complete(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.non_deterministic = self.random_state is None
        return tags


def _complete(X: Any) -> pa.Array | pa.ChunkedArray:
    """Texts, none of which is missing: a label cannot be."""
    texts = text_array(X)
    if texts.null_count:
        row = pc.index(texts.is_null(), True).as_py()
        raise InputError(
            f"X: row {row} has no text, and {texts.null_count - 1:,} more have none; leave such rows out, "
            'or give ""'
        )
    return texts


def _labels(y: Any, count: int) -> NDArray[Any]:
    if y is None:
        raise InputError("y: PingtiClassifier requires y to be passed, the label of each text")
    labels: NDArray[Any] = column_or_1d(y)
    if len(labels) != count:
        raise InputError(f"y: {len(labels):,} labels of {count:,} texts; needed is one of each")
    missing = np.flatnonzero(np.asarray(labels != labels) | np.asarray(labels == None))  # noqa: E711
    if len(missing):
        raise InputError(f"y: row {missing[0]} has no label; leave such rows out")
    check_classification_targets(labels)
    return labels


def _weights(sample_weight: Any, count: int) -> NDArray[np.float32]:
    if sample_weight is None:
        return np.ones(count, np.float32)
    weights = np.array(sample_weight, np.float32)
    if weights.shape != (count,) or not (np.isfinite(weights) & (weights >= 0.0)).all():
        raise InputError(
            f"sample_weight: shape {weights.shape} of {count:,} texts; needed is a number from 0 on of each"
        )
    return weights
