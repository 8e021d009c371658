"""The REST API and the pages: one ASGI application over workspace, job store and students."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api.rest.app import create_app
    from api.rest.server import serve

__all__ = ["create_app", "serve"]

_HOMES = {"create_app": "api.rest.app", "serve": "api.rest.server"}


def __getattr__(name: str) -> Any:
    # Only when asked for: the command line starts quickly, and ``python -m api.rest.server`` runs it once.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
