"""Pingti: tiny TextCNN students that decide as fine-tuned BERT classifiers do.

    from pingti import AsyncClient, Classifier, Client, PingtiClassifier, SimilarityStudent, Student
    from pingti import Workspace, load, replace

Each name is imported when it is first used, and not before: a client of the service loads no kernels.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pingti import rooms

if TYPE_CHECKING:
    from pingti.aio.client import AsyncClient
    from pingti.client import Client
    from pingti.inference.classifier import Classifier
    from pingti.inference.task_student import load
    from pingti.notebook.estimator import PingtiClassifier
    from pingti.notebook.replacement import replace
    from pingti.workspace.registry import Workspace
    from textcnn import Student
    from textcnn.similarity import SimilarityStudent

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "Classifier",
    "Client",
    "PingtiClassifier",
    "SimilarityStudent",
    "Student",
    "Workspace",
    "load",
    "replace",
]

# Of each name: its module, and the packages beside this one that it works with.
_PUBLIC = {
    "AsyncClient": ("pingti.aio.client", ()),
    "Classifier": ("pingti.inference.classifier", ("textcnn",)),
    "Client": ("pingti.client", ()),
    "PingtiClassifier": ("pingti.notebook.estimator", ("textcnn",)),
    "SimilarityStudent": ("textcnn.similarity", ("textcnn",)),
    "Student": ("textcnn", ("textcnn",)),
    "Workspace": ("pingti.workspace.registry", ("textcnn",)),
    "load": ("pingti.inference.task_student", ("textcnn",)),
    "replace": ("pingti.notebook.replacement", ("textcnn", "teacher", "sampling", "replacement", "api")),
}


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, needed = _PUBLIC[name]
    rooms.require(needed)
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


rooms.warn_of_foreign_rooms()
