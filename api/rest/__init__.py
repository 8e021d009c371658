"""The REST API and the pages: one ASGI application over workspace, job store and students."""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from api.rest.app import create_app
    from api.rest.server import serve

__all__ = ["create_app", "serve"]

# The command line starts quickly, and ``python -m api.rest.server`` runs its module once.
__getattr__ = lazy(__name__, {"create_app": "api.rest.app", "serve": "api.rest.server"})
