"""Problems in the OpenAPI document."""

from typing import Any

from api.rest.problems.documents import MEDIA_TYPE
from api.rest.problems.handlers import AWAY
from api.rest.problems.kinds import KINDS

BROKER = {"unavailable": f"{AWAY}."}
RANGE = {"range_not_satisfiable": "The file has 1,024 bytes; the range 'bytes=2048-' is not in it."}
_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def responses(**examples: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for a route's problems: kind (underscores for hyphens) = the detail of its example."""
    entries: dict[int | str, dict[str, Any]] = {}
    for name, detail in examples.items():
        kind = name.replace("_", "-")
        status = KINDS[kind].status
        entry = entries.setdefault(
            status,
            {
                "description": KINDS[kind].title,
                "content": {MEDIA_TYPE: {"schema": _SCHEMA, "examples": {}}},
            },
        )
        value = {
            "type": f"/problems#{kind}",
            "title": KINDS[kind].title,
            "status": status,
            "detail": detail,
        }
        entry["content"][MEDIA_TYPE]["examples"][kind] = {"value": value}
    return entries
