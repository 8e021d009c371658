import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sampling


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 9), st.floats(0.05, 0.999))
def test_all_pairs_above_the_threshold_are_found_once(n: int, seed: int, threshold: float) -> None:
    vectors = np.random.default_rng(seed).normal(size=(n, 3))
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs, cosines = sampling.near_duplicates(vectors, threshold)
    assert all(first < second for first, second in pairs.tolist())
    listed = [tuple(pair) for pair in pairs.tolist()]
    assert listed == sorted(set(listed))
    assert cosines == pytest.approx([units[a] @ units[b] for a, b in pairs.tolist()], abs=1e-5)
    products = units @ units.T
    sure = {tuple(pair) for pair in np.argwhere(np.triu(products > threshold + 1e-5, 1)).tolist()}
    possible = {tuple(pair) for pair in np.argwhere(np.triu(products > threshold - 1e-5, 1)).tolist()}
    assert sure <= set(listed) <= possible
