"""How a model is fine-tuned, and what came of it."""

import math
from dataclasses import dataclass
from pathlib import Path

from pingti.errors import InputError
from teacher.quality import Quality

LEAST_HELD_OUT = 40
"""Rows: fewer tell one model from another, and a temperature, too badly."""
_LEAST_STEPS = 400  # of a fine-tuning whose epochs are not said
_USUAL_EPOCHS = 6
_RATES = ((1024, 2e-5), (768, 4e-5), (512, 1e-4))
_RATE_OF_SMALL = 4e-4


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is fine-tuned.

    Raises:
        InputError: a number out of range.
    """

    epochs: int | None = None
    """Passes over the training rows at most; None is six, and with few rows as many more as make 400 steps.
    One epoch draws as many rows as there are texts to train on, the same number from each class: rows of a
    rare class come up more than once, those of a frequent class not in every epoch. The classes' shares of
    the rows come back afterwards, into the biases (Saerens et al. 2002, "Adjusting the Outputs of a
    Classifier to New a Priori Probabilities", section 2.2): probabilities are those of texts of which the
    labelled ones are a sample."""
    learning_rate: float | None = None
    """Highest rate. None goes by the encoder's width: 4e-4 below 512, 1e-4 below 768, 4e-5 below 1,024, 2e-5
    above."""
    weight_decay: float = 0.01
    """Of weights that are no biases or layer norms."""
    batch_size: int = 32
    """Rows per step."""
    max_length: int = 64
    """Tokens of a text that are read, with [CLS] and [SEP]."""
    freeze_embeddings: bool = True
    """Leave the word embeddings as they are. Words that the few labelled texts do not contain keep their
    relation to those that they do, and the optimizer has half the weights to move."""
    freeze_layers: int = 0
    """Leave this many of the lowest layers, and all embeddings, as they are: with half of MiniLM's six,
    training took 0.7 of the time and accuracy on BBC news was the same or a little higher."""
    validation: float = 0.1
    """Share of the texts that is kept aside, and at least 40 where that is no more than a quarter of them;
    none where there are fewer."""

    def __post_init__(self) -> None:
        rate = self.learning_rate
        if min(self.epochs or 1, self.batch_size) < 1 or self.epochs == 0 or not (rate is None or rate > 0):
            raise InputError(
                f"epochs ({self.epochs}) and batch_size ({self.batch_size}) must be at least 1, "
                f"learning_rate ({rate}) above 0"
            )
        if not 0.0 <= self.validation <= 0.5:
            raise InputError(f"validation is {self.validation}; allowed is 0 to 0.5")

    def epochs_of(self, steps_an_epoch: int) -> int:
        """How many epochs there are at most.

        Args:
            steps_an_epoch: steps of one.
        """
        return self.epochs or max(_USUAL_EPOCHS, math.ceil(_LEAST_STEPS / steps_an_epoch))

    def rate_of(self, width: int) -> float:
        """The highest learning rate.

        Args:
            width: dimensions of the encoder's states.
        """
        if self.learning_rate is not None:
            return self.learning_rate
        return next((rate for least, rate in _RATES if width >= least), _RATE_OF_SMALL)


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """What ``fine_tune`` made."""

    folder: Path
    """The model folder; ``Teacher.load`` takes it."""
    fingerprint: str
    """The fingerprint that ``Teacher.load(folder, max_length=...)`` will have."""
    steps: int
    """Optimizer steps taken."""
    losses: tuple[float, ...]
    """Mean cross-entropy (nats) of the training batches, one number an epoch."""
    held_out: tuple[float, ...]
    """Mean cross-entropy of the rows kept aside, at the temperature that suits them best, one number an
    epoch; empty where none were."""
    temperature: float
    """What the logits are divided by; 1 where no rows were kept aside."""
    tuned: bool
    """Whether fine-tuning moved the encoder's weights; False where the frozen encoder with a linear head did
    better on the rows kept aside."""
    ngram_share: float
    """How much of a decision is the n-gram model's, 0 to 1."""
    quality: Quality | None
    """On the rows kept aside; None where none were."""
