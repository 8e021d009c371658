"""The teacher: a fine-tuned BERT whose decisions a student learns; asked, made and remembered."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teacher.bert import Description, Scored, Teacher, describe
    from teacher.cache import CachedTeacher, ScoreCache
    from teacher.finetune import FineTuned, Recipe, fine_tune

# By module, and loaded when asked for: all of them need torch and transformers (extra ``teacher``).
_MODULES = {
    "Description": "teacher.bert",
    "Scored": "teacher.bert",
    "Teacher": "teacher.bert",
    "describe": "teacher.bert",
    "CachedTeacher": "teacher.cache",
    "ScoreCache": "teacher.cache",
    "FineTuned": "teacher.finetune",
    "Recipe": "teacher.finetune",
    "fine_tune": "teacher.finetune",
}

__all__ = [
    "CachedTeacher",
    "Description",
    "FineTuned",
    "Recipe",
    "ScoreCache",
    "Scored",
    "Teacher",
    "describe",
    "fine_tune",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
