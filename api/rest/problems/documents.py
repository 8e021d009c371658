"""The problem document of RFC 9457, as a model and as an answer."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api.rest.problems.kinds import KINDS

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2


class ProblemItem(BaseModel):
    """One fault among several: where it is and what is wrong there."""

    model_config = ConfigDict(frozen=True)

    detail: str = Field(description="What is wrong and what is allowed.")
    pointer: str | None = Field(
        default=None, description="JSON pointer into the body, as a URI fragment.", examples=["#/tasks/1"]
    )
    parameter: str | None = Field(default=None, description="Name of the query, path or header parameter.")


class Problem(BaseModel):
    """RFC 9457 problem document."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="URI reference of the kind of problem; its page explains it.")
    title: str = Field(description="Short name of the kind of problem.")
    status: int = Field(description="The HTTP status code.")
    detail: str = Field(description="One sentence about this occurrence.")
    errors: tuple[ProblemItem, ...] | None = Field(
        default=None, description="The single faults, where known."
    )


class ProblemError(Exception):
    """A problem of the API itself (not of the rooms behind it), raised by a route."""

    def __init__(
        self,
        kind: str,
        detail: str,
        errors: Sequence[ProblemItem] = (),
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """As for ``problem_response``."""
        super().__init__(detail)
        self.kind = kind
        self.errors = tuple(errors)
        self.headers = dict(headers or {})


def problem_response(
    kind: str,
    detail: str,
    errors: Sequence[ProblemItem] = (),
    *,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """The answer that is a problem document.

    Args:
        kind: one of ``KINDS``.
        detail: one sentence about this occurrence.
        errors: the single faults, where known.
        status: the HTTP status; that of the kind where absent.
        headers: further headers.
        more: members beyond those of every problem (RFC 9457, section 3.2).
    """
    known = KINDS.get(kind)
    status = status or (known.status if known else 500)
    document: dict[str, Any] = {
        "type": f"/problems#{kind}",
        "title": known.title if known else HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **(more or {}),
    }
    if errors:
        document["errors"] = [item.model_dump(exclude_none=True) for item in errors]
    all_headers = dict(headers or {})
    if status == 401:
        all_headers["WWW-Authenticate"] = 'Bearer realm="pingti"'
    if status == 503:
        all_headers["Retry-After"] = str(RETRY_AFTER_S)
    # backslashreplace: a lone surrogate of the caller's own text becomes its JSON escape, not a crash.
    content = json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(content, status, headers=all_headers, media_type=MEDIA_TYPE)
