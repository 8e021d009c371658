"""Pingti: tiny TextCNN students that decide as fine-tuned BERT classifiers do.

    from pingti import Classifier, Client, Student, Workspace, replace

Each name is imported when it is first used, and not before: a client of the service loads no kernels.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pingti import rooms

if TYPE_CHECKING:
    from pingti.client import Client
    from pingti.inference.classifier import Classifier
    from pingti.workspace.registry import Workspace
    from replacement.training.loop import replace
    from textcnn import Student

__version__ = "0.1.0"
__all__ = ["Classifier", "Client", "Student", "Workspace", "replace"]

# Of each name: its module, its name there, and the packages beside this one that it works with.
_PUBLIC = {
    "Classifier": ("pingti.inference.classifier", "Classifier", ("textcnn",)),
    "Client": ("pingti.client", "Client", ()),
    "Student": ("textcnn", "Student", ("textcnn",)),
    "Workspace": ("pingti.workspace.registry", "Workspace", ("textcnn",)),
    "replace": ("replacement.training.loop", "replace", ("textcnn", "teacher", "sampling", "replacement")),
}


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute, needed = _PUBLIC[name]
    rooms.require(needed)
    value: object = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


rooms.warn_of_foreign_rooms()
