import numpy as np
import torch

from teacher.finetuning.linear_head import fit_head


def test_it_is_logistic_regression() -> None:
    """At the optimum the gradient is 0: mean (p - y) x = -w / (cost n), and mean p = mean y for the bias."""
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(1, 2, (200, 5)).astype(np.float32))
    answers = torch.from_numpy(rng.integers(0, 3, 200))
    for cost in (0.03, 1.0):
        head = fit_head(features, answers, 3, cost)
        surplus = torch.softmax(head.logits(features), dim=1) - torch.eye(3)[answers]
        np.testing.assert_allclose(surplus.mean(dim=0), np.zeros(3), atol=2e-3)
        centred = features - features.mean(dim=0)
        gradient = surplus.T @ centred / 200 + head.weight / (cost * 200)
        np.testing.assert_allclose(gradient, np.zeros((3, 5)), atol=2e-3)


def test_a_higher_cost_fits_the_rows_closer() -> None:
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(0, 1, (100, 20)).astype(np.float32))
    answers = torch.from_numpy(rng.integers(0, 4, 100))
    losses = [
        torch.nn.functional.cross_entropy(fit_head(features, answers, 4, cost).logits(features), answers)
        for cost in (0.03, 0.1, 1.0, 10.0)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 0.1
