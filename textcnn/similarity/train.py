"""Fit a similarity student to the vectors of a sentence teacher.

The output goes to the teacher's space, and the loss is one less the cosine with the teacher's vector
of the same text (Reimers and Gurevych 2020, "Making Monolingual Sentence Embeddings Multilingual", with the
cosine for the squared error). A text's hashed n-grams have vectors of that space, too, which are learned with
the network. Only then is the space made narrower: along the principal components of the student's own
vectors, which turns into the tables.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pingti.errors import InputError
from textcnn.architecture import Architecture
from textcnn.encoding import Encoded, Vocabulary
from textcnn.fold import fold
from textcnn.kernel import ngram_buckets
from textcnn.network import TextCNN
from textcnn.similarity.student import SimilarityStudent
from textcnn.train import one_thread, schedule

_COMPONENT_ROWS = 20_000  # texts by which the space is made narrower
_WIDE_SCALE = 0.02  # standard deviation of the n-grams' vectors at the start


@dataclass(frozen=True, kw_only=True)
class SimilarityRecipe:
    """How a similarity student is trained."""

    width: int = 128
    """Numbers of a vector in the end."""
    buckets: int = 1 << 15
    """Of hashed n-grams; 0: none, else a power of two."""
    epochs: int = 8
    """Passes over the texts."""
    batch_size: int = 128
    """Texts per step."""
    learning_rate: float = 4e-3
    """Adam's step size at its highest, after the first tenth of the steps."""
    dropout: float = 0.1
    """Share of the features that a step leaves out."""


class _Network(torch.nn.Module):
    """A TextCNN whose columns are the numbers of a vector, and vectors of n-grams."""

    def __init__(
        self,
        size: int,
        width: int,
        architecture: Architecture,
        recipe: SimilarityRecipe,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.textcnn = TextCNN(size, width, architecture, rng)
        self.textcnn.dropout.rate = recipe.dropout
        start = rng.normal(0.0, _WIDE_SCALE, (recipe.buckets, width)).astype(np.float32)
        self.ngrams = torch.nn.Parameter(torch.from_numpy(start))

    def forward(self, encoded: Encoded) -> torch.Tensor:
        """Compute the vectors of n texts, float32 (n, width), of any length."""
        vectors = self.textcnn.deep(encoded.ids, encoded.offsets)
        if len(self.ngrams):
            buckets, ends = ngram_buckets(encoded.ids, encoded.offsets, len(self.ngrams))
            sums = torch.nn.functional.embedding_bag(
                torch.from_numpy(buckets), self.ngrams, torch.from_numpy(ends[:-1]), mode="sum"
            )
            counts = torch.from_numpy(np.maximum(1, np.diff(ends)).astype(np.float32))
            vectors = vectors + sums / counts.sqrt()[:, None]
        return vectors


def train_similarity(
    encoded: Encoded,
    targets: NDArray[np.float32],
    *,
    vocabulary: Vocabulary,
    architecture: Architecture,
    rng: np.random.Generator,
    recipe: SimilarityRecipe | None = None,
    progress: Callable[[int], None] | None = None,
) -> SimilarityStudent:
    """Train a student on n texts.

    Args:
        encoded: ids of n texts, by ``vocabulary``.
        targets: float32 (n, w), the sentence teacher's vectors, of length 1.
        vocabulary: of the student.
        architecture: the network's shape; its wide part is not used.
        rng: every random choice comes from it; one state gives one student on one machine.
        recipe: epochs, batch size, the width of the vectors.
        progress: called after every step with the number of texts that it took.

    Returns:
        The student. Its vectors have ``recipe.width`` numbers, or w where that is less.

    Raises:
        InputError: no texts, or arrays that do not fit each other.
    """
    recipe = recipe or SimilarityRecipe()
    if len(encoded) == 0 or targets.ndim != 2 or len(targets) != len(encoded):
        raise InputError(
            f"similarity: {len(encoded)} texts, vectors of shape {targets.shape}; one for each text is needed"
        )
    if recipe.buckets and (recipe.buckets < 2 or recipe.buckets & (recipe.buckets - 1)):
        raise InputError(f"similarity: {recipe.buckets} buckets; allowed are 0 and the powers of two from 2")
    with one_thread():
        network = _Network(vocabulary.size, targets.shape[1], architecture, recipe, rng)
        _fit(network, encoded, targets, rng, recipe, progress)
        with torch.inference_mode():
            some = rng.permutation(len(encoded))[:_COMPONENT_ROWS]
            vectors = network(encoded.take(np.sort(some))).numpy()
    return _folded(network, vocabulary, architecture, _components(vectors, recipe.width))


def _fit(
    network: _Network,
    encoded: Encoded,
    targets: NDArray[np.float32],
    rng: np.random.Generator,
    recipe: SimilarityRecipe,
    progress: Callable[[int], None] | None,
) -> None:
    """Bring each text's vector to the teacher's."""
    n = len(encoded)
    wanted = torch.from_numpy(np.ascontiguousarray(targets, np.float32))
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=recipe.learning_rate, fused=True)
    steps = recipe.epochs * -(-n // recipe.batch_size)
    step = 0
    network.train()
    for _ in range(recipe.epochs):
        order = rng.permutation(n)
        for start in range(0, n, recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(step / steps)
            vectors = torch.nn.functional.normalize(network(encoded.take(rows)), dim=1)
            loss = (1.0 - (vectors * wanted[rows]).sum(dim=1)).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            if progress is not None:
                progress(len(rows))
    network.eval()


def _components(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The directions, float32 (width, w), in which vectors of length 1 differ most; not centred.

    Cosines are to stay as they are, and what is common to all texts is a part of them.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    _, directions = np.linalg.eigh((unit.T @ unit).astype(np.float64))
    return np.ascontiguousarray(directions[:, ::-1][:, :width].T, np.float32)


def _folded(
    network: _Network, vocabulary: Vocabulary, architecture: Architecture, components: NDArray[np.float32]
) -> SimilarityStudent:
    arrays = {name: tensor.detach().numpy() for name, tensor in network.textcnn.named_parameters()}
    head, bias = arrays["head.weight"][:2], arrays["head.bias"][:2]
    trunk = fold(
        arrays["embedding"], arrays["filters"], arrays["bias"], head, bias, np.zeros((0, 2), np.float32),
        architecture,
    )  # fmt: skip
    return SimilarityStudent.of_arrays(
        {"table": trunk.table, "step": trunk.step, "bias": trunk.bias},
        vocabulary,
        architecture,
        projection=components @ arrays["head.weight"],
        offset=components @ arrays["head.bias"],
        ngrams=network.ngrams.detach().numpy() @ components.T,
    )
