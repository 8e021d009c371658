"""Families of label tasks over one small corpus."""

import json
from pathlib import Path
from typing import Any

from pingti.workspace.registry import TaskEntry, Workspace
from tests.support.teachers import DEFINITION, corpus_file

MAPS = {
    "sport": '[teacher.map]\nsport = "yes"\n"*" = "no"\n',
    "tech": '[teacher.map]\ntech = "yes"\n"*" = "no"\n',
    "topic": "",
}


def topics(root: Path, model: Path, *, family: str = "topics", **changes: Any) -> list[TaskEntry]:
    """Three tasks of one teacher of three topics: is it sport? is it tech? which of the three is it?"""
    corpus_file(root)
    return [add_task(root, name, model, family=family, **changes) for name in MAPS]


def add_task(
    root: Path, name: str, model: Path, *, family: str = "topics", asks: str | None = None, **changes: Any
) -> TaskEntry:
    """A task of a family; ``asks`` is the part of the definition that tells how it reads its teacher."""
    asks = MAPS[name] if asks is None else asks
    classes = '["no", "yes"]' if asks else '["sport", "tech", "other"]'
    values = {"budget": 300, "margin": 0.1, "gate": 1.0, "rounds": 3, **changes}
    text = DEFINITION.format(classes=classes, model=json.dumps(str(model)), **values)
    text = text.replace("[student]", f"{asks}\n[student]")
    return Workspace(root).add_task(name, f'family = "{family}"\n{text}')
