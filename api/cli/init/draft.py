"""What a first definition says, and the same as TOML with a word on what to change."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomlkit

from pingti.checks.label_names import YES_CLASSES, asking_for


@dataclass(frozen=True, kw_only=True)
class Model:
    """A teacher's folder, as its config.json describes it."""

    folder: Path
    labels: tuple[str, ...]
    independent: bool
    """Whether it answers each label by itself."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a first definition says."""

    model: Model
    files: str
    """A path, a pattern or an address; a relative path counts from where the command was given."""
    text: str
    time: str | None
    id: str | None
    encoding: str | None
    yes: tuple[str, ...]
    """Labels that stand for a yes; none: all labels are classes."""
    precision: float
    recall: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The task's; the model's labels where none stands for a yes."""
        return YES_CLASSES if self.yes else self.model.labels


def toml_of(draft: Draft, tasks: Path) -> str:
    """The definition's text.

    Args:
        draft: what it says.
        tasks: the workspace's folder of tasks, from which relative paths count.
    """
    two = len(draft.classes) == 2
    named = repr(draft.classes[1]) if two else "a class (the mean over the classes)"
    lines = [
        "# Written by pingti init. Relative paths count from the workspace's folder tasks/.",
        f"classes = {_list(draft.classes)}" + ("  # of two, the second is the positive one" if two else ""),
        "",
        "[corpus]",
        f"files = {_list([_path(draft.files, tasks)])}",
        f"text = {_text(draft.text)}",
    ]
    if draft.time is not None:
        lines.append(f"time = {_text(draft.time)}  # the newest 7 days are held out to measure on")
    if draft.id is not None:
        lines.append(f"id = {_text(draft.id)}")
    if draft.encoding is not None:
        lines.append(f"encoding = {_text(draft.encoding)}")
    lines += ["", "[teacher]", f"model = {_text(_path(str(draft.model.folder), tasks))}"]
    lines += _asked_for(draft)
    lines += [
        "max_length = 64  # word pieces of a text that it reads: set what you run it with today",
        "",
        "[gate]  # what the student must reach on held-out texts before it may replace the teacher",
        f"precision = {draft.precision:g}  # share of what it calls {named} that the teacher does, too",
        f"recall = {draft.recall:g}  # share of what the teacher calls {named} that it does, too",
    ]
    if draft.time is None:
        lines.append("holdout_fraction = 0.1  # the last tenth of the rows is held out: there is no time")
    return "".join(f"{line}\n" for line in lines)


def _asked_for(draft: Draft) -> list[str]:
    """The line that says which of the model's labels are a yes; none where all are classes."""
    if not draft.yes:
        return []
    keys = asking_for(draft.model.labels, draft.model.independent, draft.yes)
    if "label" in keys:
        return [f"label = {_text(keys['label'])}  # the one of its labels that the task asks for"]
    pairs = ", ".join(f"{_text(label)} = {_text(name)}" for label, name in keys["map"].items())
    return [f"map = {{ {pairs} }}  # which of its labels stands for which class"]


def _path(named: str, tasks: Path) -> str:
    """A path as the definition says it: a relative one where it lies beside the workspace."""
    if "://" in named:
        return named
    path = Path(named).expanduser().absolute()
    beside = tasks.absolute().parents[1]
    if path.is_relative_to(beside):
        return f"../../{path.relative_to(beside)}"
    return str(path)


def _text(value: str) -> str:
    return tomlkit.string(value).as_string()


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(_text, values))}]"
