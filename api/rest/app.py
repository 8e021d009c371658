"""The application: the REST API and the dashboard over one set of services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Security
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles

from api.keys import KeyRing
from api.rest import problems
from api.rest.dependencies import UPLOAD_BYTES, Services
from api.rest.middleware import BEARER, Guard
from api.rest.routes import API_ROUTERS, events, system
from pingti import __version__
from pingti.workspace.definition import Definition
from queue_worker.settings import Settings

_DESCRIPTION = (
    "Classify files of texts with the students that replaced their BERTs. Upload a file or name one that the "
    "server can read, submit a job for any tasks, watch it, and read its results. Every error is an "
    "application/problem+json document (RFC 9457)."
)


def create_app(settings: Settings | None = None, *, upload_bytes: int = UPLOAD_BYTES) -> FastAPI:
    """Build the application; nothing is connected or read before the first request.

    Args:
        settings: of the environment where absent.
        upload_bytes: size of the largest file that is taken.
    """
    settings = settings or Settings()
    services = Services(settings, upload_bytes=upload_bytes)
    app = FastAPI(
        title="Pingti",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_close_at_the_end,
        docs_url=None,  # the built-in pages load scripts from another host; /docs is our own
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    app.state.feed = events.Feed(services)
    app.add_middleware(Guard, keys=services.keys, upload_bytes=upload_bytes, host=settings.host)
    problems.install(app)
    _include_routes(app)
    _document(app, services.keys)
    return app


@asynccontextmanager
async def _close_at_the_end(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.feed.close()
    app.state.services.close()


def _include_routes(app: FastAPI) -> None:
    # Guard asks for the key; this only writes it into the OpenAPI document.
    bearer = [Security(BEARER)]
    anywhere = problems.responses(
        unauthorized="This server asks for a key: send Authorization: Bearer KEY.",
        forbidden="The key 'nightly' has the role read; this request needs submit.",
        too_many="Too many wrong keys came from your address; wait before you send another.",
        internal="GET /v1/tasks failed inside the server.",
    )
    for router in API_ROUTERS:
        app.include_router(router, dependencies=bearer, responses=anywhere)
    app.include_router(events.router)
    app.include_router(system.router)
    app.include_router(system.pages)
    app.mount("/static", StaticFiles(directory=system.STATIC), name="static")


def _document(app: FastAPI, keys: KeyRing) -> None:
    """Put our OpenAPI document in place of FastAPI's; it is made once, with keys and without."""
    documents: dict[bool, dict[str, Any]] = {}

    def openapi() -> dict[str, Any]:
        locked = bool(keys.keys())
        if locked not in documents:
            documents[locked] = _openapi(app, locked=locked)
        return documents[locked]

    app.openapi = openapi  # type: ignore[method-assign]


def _openapi(app: FastAPI, *, locked: bool) -> dict[str, Any]:
    """FastAPI's document with our Problem in place of its own validation error.

    ``locked``: whether there are keys; without any, a key is not needed, and the document says so.
    """
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    for methods in document["paths"].values():
        for operation in methods.values():
            # FastAPI adds its 422 to every route with a parameter; those that can fail so declared ours.
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            if not locked and "security" in operation:
                operation["security"] = [*operation["security"], {}]
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    template = "#/components/schemas/{model}"
    for model in (problems.Problem, Definition):
        schema = model.model_json_schema(ref_template=template)
        schemas.update(schema.pop("$defs"))
        schemas[model.__name__] = schema
    return document
