import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pingti.errors import InputError
from textcnn import Architecture, Encoded, Vocabulary
from textcnn.network import MaxOverTime, TextCNN
from textcnn.train import Recipe, class_weights, train


def encoded(texts: list[list[int]]) -> Encoded:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    ids = np.array([token for text in texts for token in text], np.int32)
    return Encoded(ids, offsets, np.ones(len(texts), np.bool_))


def plain_pooled(
    embedding: Tensor, filters: Tensor, texts: list[list[int]], widths: tuple[int, ...]
) -> Tensor:
    """torch's own convolution and maximum, a text at a time; short texts are followed by zeros."""
    pooled = []
    for text in texts:
        vectors = embedding[torch.tensor(text, dtype=torch.int64)]
        parts, first = [], 0
        for width in widths:
            short = max(0, width - len(text))
            padded = torch.cat([vectors, vectors.new_zeros(short, embedding.shape[1])])
            kernel = filters[first : first + width].permute(2, 1, 0)  # (F, E, width)
            parts.append(torch.nn.functional.conv1d(padded.T[None], kernel)[0].amax(dim=1))
            first += width
        pooled.append(torch.cat(parts))
    return torch.stack(pooled)


def test_a_convolution_by_hand() -> None:
    # Two-dimensional vectors, one filter of width 2. Windows of "1 2 3":
    #   (1, 0).(1, 2) + (0, 1).(3, -1) = 1 - 1 = 0;   (0, 1).(1, 2) + (2, 2).(3, -1) = 2 + 4 = 6
    # The maximum is 6. "3" alone is followed by a zero vector: (2, 2).(1, 2) = 6. "2" alone: 2.
    embedding = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    filters = torch.tensor([[[1.0], [2.0]], [[3.0], [-1.0]]])
    batch = encoded([[1, 2, 3], [3], [2], []])
    pooled = MaxOverTime.apply(embedding, filters, batch.ids, batch.offsets, (2,))
    assert pooled.tolist() == [[6.0], [6.0], [2.0], [0.0]]

    network = TextCNN(4, 2, Architecture(embedding=2, filters=1, widths=(2,)), np.random.default_rng(0))
    with torch.no_grad():
        network.embedding.copy_(embedding)
        network.filters.copy_(filters)
        network.bias.fill_(-3.0)
        network.head.weight.copy_(torch.tensor([[1.0], [-2.0]]))
        network.head.bias.copy_(torch.tensor([0.5, 0.0]))
    # ReLU(6 - 3) = 3 and ReLU(2 - 3) = 0, through the head
    logits = network.eval()(batch.ids, batch.offsets)
    assert logits.tolist() == [[3.5, -6.0], [3.5, -6.0], [0.5, 0.0], [0.5, 0.0]]


WIDTHS = st.sets(st.integers(1, 5), min_size=1, max_size=3).map(lambda widths: tuple(sorted(widths)))
TEXTS = st.lists(st.lists(st.integers(1, 9), max_size=9), min_size=1, max_size=6)


@settings(deadline=None, max_examples=80)
@given(TEXTS, WIDTHS, st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32))
def test_outputs_and_gradients_are_those_of_torchs_convolution(
    texts: list[list[int]], widths: tuple[int, ...], dimension: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    network = TextCNN(10, 3, Architecture(embedding=dimension, filters=count, widths=widths), rng).eval()
    with torch.no_grad():
        network.bias.copy_(torch.from_numpy(rng.normal(0.0, 0.5, len(network.bias)).astype(np.float32)))
    batch = encoded(texts)
    outside = torch.from_numpy(rng.normal(size=(len(texts), 3)))

    logits = network(batch.ids, batch.offsets)
    (logits * outside.float()).sum().backward()

    values = [network.embedding, network.filters, network.bias, network.head.weight, network.head.bias]
    doubles = [value.detach().double().requires_grad_() for value in values]
    embedding, filters, bias, weight, head_bias = doubles
    features = torch.relu(plain_pooled(embedding, filters, texts, widths) + bias)
    wanted = features @ weight.T + head_bias
    (wanted * outside).sum().backward()

    assert torch.allclose(logits.double(), wanted, atol=1e-5)
    for value, double in zip(values, doubles, strict=True):
        assert value.grad is not None
        assert double.grad is not None
        assert torch.allclose(value.grad.double(), double.grad, atol=1e-4)


def test_dropout_keeps_the_mean_and_is_off_in_use() -> None:
    rng = np.random.default_rng(0)
    network = TextCNN(10, 2, Architecture(embedding=4, filters=8, widths=(1, 2)), rng)
    features = torch.ones(4000, 16)
    network.train()
    dropped = network.dropout(features)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert abs(float(dropped.mean()) - 1.0) < 0.02
    network.eval()
    assert network.dropout(features) is features


# ---- training

ARCHITECTURE = Architecture(embedding=8, filters=8, widths=(1, 2, 3))


def separable(n: int) -> tuple[Encoded, np.ndarray]:
    """Order decides: "1 2" is one class, "2 1" the other, among noise; some texts short, some empty."""
    rng = np.random.default_rng(1)
    texts, targets = [], []
    for row in range(n):
        yes = bool(rng.integers(2))
        noise = rng.integers(3, 20, rng.integers(0, 5)).tolist()
        at = int(rng.integers(len(noise) + 1))
        texts.append([*noise[:at], *([1, 2] if yes else [2, 1]), *noise[at:]])
        targets.append([0.02, 0.98] if yes else [0.98, 0.02])
        if row % 50 == 0:
            texts.append([])
            targets.append([0.5, 0.5])
    return encoded(texts), np.array(targets, np.float32)


def loss(network: TextCNN, texts: Encoded, targets: np.ndarray) -> float:
    with torch.no_grad():
        logits = network(texts.ids, texts.offsets)
    return float(-(torch.from_numpy(targets) * torch.log_softmax(logits, dim=1)).sum(dim=1).mean())


def fit(texts: Encoded, targets: np.ndarray, *, seed: int = 3, **arguments) -> TextCNN:
    arguments = {"recipe": Recipe(epochs=12, learning_rate=5e-3), **arguments}
    rng = np.random.default_rng(seed)
    return train(texts, targets, size=20, architecture=ARCHITECTURE, rng=rng, **arguments)


def state(network: TextCNN) -> dict[str, bytes]:
    return {name: tensor.detach().numpy().tobytes() for name, tensor in network.named_parameters()}


def test_training_learns_what_can_be_learned() -> None:
    texts, targets = separable(600)
    seen = []
    network = fit(texts, targets, progress=seen.append, recipe=Recipe(epochs=20, learning_rate=2e-2))
    start = loss(TextCNN(20, 2, ARCHITECTURE, np.random.default_rng(3)).eval(), texts, targets)
    entropy = float(-(targets * np.log(targets)).sum(axis=1).mean())
    assert start > 0.6
    assert entropy <= loss(network, texts, targets) < entropy + 0.15
    assert not network.training
    assert sum(seen) == 20 * len(texts)
    assert set(seen[:-1]) <= {64, len(texts) % 64}
    # Padding and tokens that were never seen stay where they were.
    assert not network.embedding[0].any()


def test_one_seed_gives_one_network_whatever_torch_is_set_to() -> None:
    texts, targets = separable(150)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.manual_seed(1)
        before = torch.random.get_rng_state()
        first = fit(texts, targets)
        assert torch.get_num_threads() == 2
        # The generator is an argument: torch's own is neither used nor moved.
        assert torch.equal(torch.random.get_rng_state(), before)
        torch.set_num_threads(1)
        torch.manual_seed(2)
        np.random.seed(5)  # noqa: NPY002
        assert state(fit(texts, targets)) == state(first)
        assert state(fit(texts, targets, seed=4)) != state(first)
        with pytest.raises(KeyError):
            fit(texts, targets, progress={}.__getitem__)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_weights_say_how_much_a_row_counts() -> None:
    # One text, said to be of both classes: the heavier row decides how likely each is.
    texts = encoded([[1, 2]] * 200)
    targets = np.tile(np.eye(2, dtype=np.float32), (100, 1))
    weights = np.tile(np.array([3.0, 1.0], np.float32), 100)
    recipe = Recipe(epochs=60, learning_rate=1e-2)
    network = fit(texts, targets, weights=weights, recipe=recipe)
    with torch.no_grad():
        likely = torch.softmax(network(texts.ids[:2], np.array([0, 2])), dim=1)
    assert likely[0].tolist() == pytest.approx([0.75, 0.25], abs=0.04)


def test_classes_weigh_the_same_but_for_one_of_a_handful_of_rows() -> None:
    decided = np.array([0] * 6 + [1] * 3 + [3], np.int64)  # none of class 2
    assert class_weights(decided, 4)[[0, 6, 9]].tolist() == pytest.approx([10 / 24, 10 / 12, 10 / 4])
    rare = np.array([0] * 199 + [1], np.int64)
    assert class_weights(rare, 2)[[0, 199]].tolist() == pytest.approx([100 / 199, 10.0])
    assert class_weights(np.zeros(0, np.int64), 2).shape == (0,)


def test_the_start_of_the_embedding_can_be_given() -> None:
    texts, targets = separable(20)
    vectors = np.arange(24, dtype=np.float32).reshape(3, 8)
    still = Recipe(epochs=1, learning_rate=0.0)
    network = fit(texts, targets, embedding=vectors, recipe=still)
    assert np.allclose(network.embedding[1:4].detach().numpy(), 0.3 * vectors, atol=1e-5)
    assert not np.allclose(network.embedding[4].detach().numpy(), 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.zeros((3, 2), np.float32)}, "2 texts, targets of shape \\(3, 2\\)"),
        ({"targets": np.zeros(2, np.float32)}, "targets of shape \\(2,\\)"),
        ({"weights": np.ones(3, np.float32)}, "one row of targets per text"),
        ({"texts": encoded([]), "targets": np.zeros((0, 2), np.float32)}, "0 texts"),
        ({"embedding": np.zeros((3, 9), np.float32)}, "embedding of shape \\(3, 9\\)"),
        ({"embedding": np.zeros((20, 8), np.float32)}, "19 or fewer, 8"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    arguments = {"texts": encoded([[1], [2]]), "targets": np.eye(2, dtype=np.float32), **change}
    with pytest.raises(InputError, match=message):
        fit(**arguments)


@pytest.mark.parametrize("shape", [{"embedding": 0}, {"filters": 0}, {"widths": ()}, {"widths": (3, 2)}])
def test_a_shape_that_cannot_be_is_refused(shape: dict) -> None:
    with pytest.raises(InputError, match="student: "):
        Architecture(**shape)


def test_training_on_a_vocabularys_ids_needs_its_size() -> None:
    vocabulary = Vocabulary(["a", "b"], buckets=3)
    rng = np.random.default_rng(0)
    texts = vocabulary.encode(["a b zz", "", "yy b"])
    network = train(
        texts, np.eye(3, dtype=np.float32), size=vocabulary.size, architecture=ARCHITECTURE, rng=rng
    )
    assert network(texts.ids, texts.offsets).shape == (3, 3)
