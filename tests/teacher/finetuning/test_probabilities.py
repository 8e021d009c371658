import numpy as np
import pytest
import torch

from teacher.finetuning.probabilities import calibrated_loss, fit_temperature, mix


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0])
def test_the_temperature_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (4000, 3))
    scaled = np.exp(logits / true)
    draws = (rng.random((4000, 1)) > np.cumsum(scaled / scaled.sum(axis=1, keepdims=True), axis=1)).sum(
        axis=1
    )
    temperature = fit_temperature(torch.from_numpy(logits), torch.from_numpy(draws))
    assert temperature == pytest.approx(true, rel=0.1)


def test_a_temperature_changes_no_calibrated_loss() -> None:
    rng = np.random.default_rng(0)
    answers = torch.from_numpy(rng.integers(0, 3, 500))
    logits = torch.eye(3)[answers] + torch.from_numpy(rng.normal(0, 1, (500, 3)))
    sure, plain = calibrated_loss(logits * 3, answers), calibrated_loss(logits, answers)
    assert sure == pytest.approx(plain, abs=2e-3)
    assert torch.nn.functional.cross_entropy(logits * 3, answers).item() > plain + 0.1


def told(answers: np.ndarray, right: float, rng: np.random.Generator) -> np.ndarray:
    """Logits that decide this share of the rows right, and of the others chance."""
    decided = np.where(rng.random(len(answers)) < right, answers, rng.integers(0, 3, len(answers)))
    return (np.eye(3, dtype=np.float32)[decided] * 3 + rng.normal(0, 1, (len(answers), 3))).astype(np.float32)


@pytest.mark.parametrize(
    ("model", "ngrams", "least", "most"), [(0.9, 0.0, 0.0, 0.0), (0.7, 0.7, 0.2, 0.8), (0.0, 0.9, 0.85, 0.95)]
)
def test_who_knows_more_has_the_larger_part(model: float, ngrams: float, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    answers = rng.integers(0, 3, 600)
    own, others = torch.from_numpy(told(answers, model, rng)), told(answers, ngrams, rng)
    mixture = mix(own, others, torch.from_numpy(answers))
    assert least <= mixture.share <= most
    assert (mixture.factor > 0) == (mixture.share > 0)
    mixed = own / mixture.temperature + torch.from_numpy(others) * mixture.factor
    right = (mixed.argmax(dim=1).numpy() == answers).mean()
    alone = max((scores.argmax(axis=1) == answers).mean() for scores in (own.numpy(), others))
    assert right >= alone - 0.01
