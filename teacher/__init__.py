"""The teacher: a fine-tuned BERT whose decisions a student learns; asked, made and remembered."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from teacher.bert import Description, Teacher, describe
    from teacher.cache import CachedTeacher, ScoreCache
    from teacher.finetune import FineTuned, Recipe, fine_tune
    from teacher.protocol import Scored

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

# All of them need torch and transformers (extra ``teacher``).
__getattr__ = lazy(
    __name__,
    {
        "Description": "teacher.bert",
        "Scored": "teacher.protocol",
        "Teacher": "teacher.bert",
        "describe": "teacher.bert",
        "CachedTeacher": "teacher.cache",
        "ScoreCache": "teacher.cache",
        "FineTuned": "teacher.finetune",
        "Recipe": "teacher.finetune",
        "fine_tune": "teacher.finetune",
    },
)
