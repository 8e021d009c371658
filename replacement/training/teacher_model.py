"""The model behind a task's teacher: the one that the definition names, as it is or fine-tuned on labels."""

import hashlib
import json
from pathlib import Path

import numpy as np

from pingti import files
from pingti.annotation.labelled_texts import Labelled
from pingti.errors import DefinitionError
from pingti.workspace.definition import HUB_NAME
from pingti.workspace.registry import TaskEntry
from replacement.progress import Progress


def teacher_owner(entry: TaskEntry) -> TaskEntry:
    """The task whose teacher a task uses: itself, or the one that "task:NAME" names.

    Args:
        entry: the task that uses it.

    Raises:
        NotFoundError: there is no task of that name.
        DefinitionError: that task has no teacher of its own either.
    """
    model = entry.definition.teacher.model
    if not model.startswith("task:"):
        return entry
    owner = entry.workspace.task(model.removeprefix("task:"))
    if owner.definition.teacher.model.startswith("task:"):
        raise DefinitionError(f"{entry.path}: teacher.model: {model!r} has no teacher of its own")
    return owner


def find_or_fine_tune(
    owner: TaskEntry, seed_labels: Labelled | None, *, seed: int, progress: Progress, device: str | None
) -> str:
    """The model of a task's own teacher, fine-tuned first where the definition says so and it was not yet.

    Args:
        owner: the task that has the teacher.
        seed_labels: what to fine-tune it on; None: it is taken as it is.
        seed: of the fine-tuning; another seed makes another teacher.
        progress: told how far the fine-tuning is.
        device: torch device; a GPU where there is one, if None.

    Returns:
        A whole path, or a name on the hub.

    Raises:
        InputError: labels that lack a class, or a model that cannot be fine-tuned.
        UnavailableError: torch or transformers is missing, or the model cannot be had.
    """
    section = owner.definition.teacher
    model, local = _named_model(owner)
    if seed_labels is None or not section.fine_tune:
        return model
    folder = _tuned_folder(owner, seed_labels, local or model, seed)
    if folder.exists():
        return str(folder)

    def busy() -> None:
        progress("waiting for another run, which fine-tunes this teacher", 0, 1)

    from teacher.finetune import Recipe, fine_tune  # torch only where something is trained

    # Several tasks may share the teacher: of runs side by side one makes it, and the others take it.
    with files.locked(owner.folder / "teacher.lock", busy=busy):
        if not folder.exists():
            fine_tune(
                model,
                seed_labels.texts,
                seed_labels.labels,
                classes=owner.definition.classes,
                out=folder,
                rng=np.random.default_rng(seed),
                recipe=Recipe(
                    max_length=section.max_length,
                    epochs=section.epochs,
                    learning_rate=section.learning_rate,
                    freeze_layers=section.freeze_layers,
                ),
                device=device,
                progress=lambda done, steps: progress("fine-tuning the teacher", done, steps),
            )
    return str(folder)


def _named_model(owner: TaskEntry) -> tuple[str, Path | None]:
    """The model that the definition names, a whole path or a hub name; and its folder, if it is one here."""
    named = owner.definition.teacher.model
    local = owner.path.parent / named
    if local.is_dir():
        return str(local), local
    # What is neither a folder there nor a hub name can only be a path: the error says where it leads.
    return (named if HUB_NAME.fullmatch(named) else str(local)), None


def _tuned_folder(owner: TaskEntry, seed_labels: Labelled, base: Path | str, seed: int) -> Path:
    """Where the fine-tuned model lies: a folder for each set of inputs.

    A second run finds it, and a changed seed makes another. A base model in a folder goes by what is in it:
    its weights may be exchanged, and the workspace may be moved.
    """
    from teacher.folders import contents

    how = owner.definition.teacher.model_dump(
        include={"max_length", "epochs", "learning_rate", "freeze_layers"}
    )
    what = contents(base) if isinstance(base, Path) else base
    inputs = [seed_labels.texts, seed_labels.labels, how, owner.definition.classes, what, seed]
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
    return owner.folder / "teacher" / key
