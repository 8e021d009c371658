"""A transformer student: layers of the teacher, or of another checkpoint, that learn its soft answers."""

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.errors import InputError, UnavailableError
from pingti.extras import install_hint
from pingti.students import AnyStudent
from pingti.students.pieces import Cutter, Pieces
from pingti.students.transformer import KIND, TransformerStudent
from pingti.workspace.definition import HUB_NAME
from replacement.progress import advancing

if TYPE_CHECKING:
    from replacement.distilling.network import Encoder
    from replacement.training.outcome.trained import Trained
    from replacement.training.rounds.state import Asked, Setup

_PACKAGES = ("onnx", "onnxruntime", "tokenizers")
_DROPOUT = 0.1
_CALIBRATING = 512
"""Rows at most, whose states fix the scales of int8."""
_COMPARED = 2000
"""Validation rows at most, on which int8 is compared with float32."""
_EPOCHS = 6
_LEAST_STEPS = 1500
_MOST_EPOCHS = 40


def missing(setup: "Setup") -> str:
    """Tell why no transformer student can be trained in a run, in a part of a sentence; empty: it can.

    Args:
        setup: of the run.
    """
    for package in _PACKAGES:
        if importlib.util.find_spec(package) is None:
            return f"it needs the package {package}: {install_hint(KIND)}"
    if setup.teacher.description is None and setup.definition.student.transformer.checkpoint is None:
        return (
            "the teacher is no model of transformers, from whose layers a student could start; name one as "
            "student.transformer.checkpoint"
        )
    from replacement.distilling.cutting import problem  # torch only where something is trained

    try:
        return problem(_folder(setup), setup.definition.student.transformer.layers, _max_length(setup))
    except (InputError, UnavailableError) as error:
        return str(error)


def train(setup: "Setup", asked: "Asked", trained: "Trained") -> TransformerStudent:
    """Train a transformer student on all rows that the rounds asked about.

    Args:
        setup: has texts, teacher and seed.
        asked: has the rows to learn from, and the validation rows, on which int8 is compared with float32.
        trained: what the rounds made; nothing of it is used.

    Raises:
        InputError: a checkpoint that no student can be cut from.
        UnavailableError: a package is missing, or a checkpoint cannot be had.
    """
    reason = missing(setup)
    if reason:
        raise UnavailableError(f"{setup.entry.path}: a transformer student: {reason}")
    from replacement.distilling import network as networks
    from replacement.distilling import quantized
    from replacement.distilling.training import probabilities

    folder, max_length = _folder(setup), _max_length(setup)
    rng = setup.rng("transformer student")
    tokenizer = _tokenizer(folder)
    cutter = Cutter(tokenizer, max_length)
    learned = asked.training.learned(setup.definition.teacher)
    pieces = cutter.encode(setup.dataset.texts.take(pa.array(asked.training.rows[learned])))
    network = _distilled(setup, asked, learned, pieces, folder, rng)
    calibrating = pieces.take(np.sort(rng.permutation(len(pieces))[:_CALIBRATING]))
    class_of = np.eye(len(setup.definition.classes), dtype=np.float32)[list(setup.teacher.rule.class_of)]
    student = TransformerStudent(
        quantized.model(network, networks.input_ranges(network, calibrating), class_of),
        tokenizer,
        setup.definition.classes,
        shape=network.shape,
        max_length=max_length,
    )
    compared = cutter.encode(setup.dataset.texts.take(pa.array(asked.validation.rows[:_COMPARED])))
    whole = (probabilities(network, compared) @ class_of).argmax(axis=1)
    equal = float((student.score_encoded(compared).argmax(axis=1) == whole).mean())
    student.metadata[KIND] = {
        "cut_from": folder.name,
        "decisions_equal_to_float32": round(equal, 4),
        "compared_rows": len(compared),
    }
    return student


def _distilled(
    setup: "Setup",
    asked: "Asked",
    learned: NDArray[np.bool_],
    pieces: Pieces,
    folder: Path,
    rng: np.random.Generator,
) -> "Encoder":
    """Cut an encoder and train it on the teacher's probabilities of its labels."""
    from replacement.distilling.cutting import cut
    from replacement.distilling.training import Recipe, train
    from teacher.finetuning.recipe import Recipe as TeacherRecipe
    from teacher.folders import choose_device, load_model
    from textcnn.train import class_weights

    section, rule = setup.definition.student.transformer, setup.teacher.rule
    answers = asked.training.answers.take(learned)
    model, absent = load_model(folder)
    own_labels = section.checkpoint is None and rule.output is None
    network = cut(
        model,
        absent,
        layers=section.layers,
        columns=len(rule.labels),
        keep_head=own_labels and model.config.num_labels == len(rule.labels),
        dropout=_DROPOUT,
        rng=rng,
    )
    weights = np.ones(len(pieces), np.float32)
    if not setup.definition.binary:  # as the rounds' students: each class counts as much as any other
        weights = class_weights(answers.decided, len(setup.definition.classes))
    recipe = Recipe(
        epochs=section.epochs or epochs_of(len(pieces), Recipe.batch_size),
        learning_rate=TeacherRecipe(learning_rate=section.learning_rate).rate_of(network.shape.hidden),
    )
    train(
        network,
        pieces,
        answers.labels,
        weights,
        recipe=recipe,
        rng=rng,
        device=choose_device(None),
        progress=advancing(setup.progress, f"{KIND}: training", len(pieces) * recipe.epochs),
    )
    return network


def note(student: AnyStudent) -> str:
    """What the ladder tells of a student of this kind, in a sentence; empty of any other.

    Args:
        student: of any kind.
    """
    own = student.metadata.get(KIND)
    if student.kind != KIND or own is None:
        return ""
    return (
        f"of int8; it decides as the same in float32 on {own['decisions_equal_to_float32']:.1%} of "
        f"{own['compared_rows']:,} validation rows"
    )


def epochs_of(rows: int, batch_size: int) -> int:
    """How many passes over the rows there are, where the definition does not say.

    Args:
        rows: to learn from.
        batch_size: rows of a step.

    Returns:
        Six, or so many that there are 1,500 steps, forty at most.
    """
    return min(_MOST_EPOCHS, max(_EPOCHS, math.ceil(_LEAST_STEPS / math.ceil(rows / batch_size))))


def _folder(setup: "Setup") -> Path:
    """The folder of the model that the student is cut from."""
    from teacher.folders import resolve

    named, described = setup.definition.student.transformer.checkpoint, setup.teacher.description
    if named is None and described is not None:
        return described.folder
    named = str(named)
    local = setup.entry.path.parent / named
    return resolve(named if not local.is_dir() and HUB_NAME.fullmatch(named) else str(local.absolute()))


def _max_length(setup: "Setup") -> int:
    own = setup.definition.student.transformer.max_length
    return own or setup.teacher.max_length or setup.definition.teacher.max_length


def _tokenizer(folder: Path) -> str:
    """JSON of a model's tokenizer, as the package tokenizers reads it."""
    from teacher.folders import load_tokenizer

    tokenizer: Any = load_tokenizer(folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(
            f"student.transformer: the tokenizer of the model {folder} has no form of its own that is read "
            "without transformers; name another as student.transformer.checkpoint"
        )
    content: str = backend.to_str()
    return content
