"""The routes of the REST API, a module for each kind of thing that it serves."""

from api.rest.routes import classify, definitions, events, files, jobs, results, review, system, tasks

API_ROUTERS = (
    classify.router,
    jobs.router,
    results.router,
    files.router,
    files.columns_router,
    tasks.router,
    definitions.router,
    review.router,
    system.v1,
)
"""Those that need a key where there are keys, in the order of the OpenAPI document."""

__all__ = [
    "API_ROUTERS",
    "classify",
    "definitions",
    "events",
    "files",
    "jobs",
    "results",
    "review",
    "system",
    "tasks",
]
