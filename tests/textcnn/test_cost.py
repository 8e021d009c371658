"""What a student costs, counted by hand."""

from dataclasses import astuple

import pytest

from textcnn import Architecture
from textcnn.cost import Terms, cost_of, counts_of, nanoseconds_of
from textcnn.vectors import LANES


def test_the_counts_of_a_small_network() -> None:
    shape = Architecture(embedding=5, filters=LANES + 1, widths=(1, 3), wide=64)
    counts = counts_of(shape, columns=2, tokens=10, text_bytes=30)
    # Ten windows of one row and eight of three, each of two vectors; 66 features; ten tokens and nine pairs.
    assert counts == Terms(
        text=1, byte=30, token=10, load=2 * (10 + 24), feature=66, product=66, ngram=19, logit=0
    )
    three = counts_of(shape, columns=3, tokens=10, text_bytes=30)
    assert (three.product, three.ngram, three.logit) == (3 * 66, 19, 3 * 19)
    ones = Terms(text=1, byte=0, token=0, load=2, feature=0, product=1, ngram=0, logit=0)
    assert nanoseconds_of(counts, ones) == 1 + 2 * 68 + 66


def test_a_bag_of_ngrams_has_neither_loads_nor_features() -> None:
    shape = Architecture.of_ngrams(64)
    counts = counts_of(shape, columns=4, tokens=10, text_bytes=30)
    assert counts == Terms(text=1, byte=30, token=0, load=0, feature=0, product=0, ngram=19, logit=76)
    cost = cost_of(shape, size=1000, columns=4, tokens=10)
    assert (cost.bytes, cost.operations) == (4 * (4 + 4 * 64), 76)


@pytest.mark.parametrize("tokens", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [Architecture(wide=64), Architecture.of_ngrams(64)])
def test_texts_of_hardly_a_token_cost_nothing_negative(shape: Architecture, tokens: float) -> None:
    assert min(astuple(counts_of(shape, columns=2, tokens=tokens, text_bytes=1))) >= 0
    assert cost_of(shape, size=10, columns=2, tokens=tokens).operations >= 0
