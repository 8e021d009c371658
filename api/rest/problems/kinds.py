"""The kinds of problems."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One type of problem: its HTTP status, its title and what it means to the caller."""

    status: int
    title: str
    meaning: str


KINDS: Mapping[str, Kind] = {
    "bad-request": Kind(
        status=400, title="The request cannot be read", meaning="Its body or its headers are malformed."
    ),
    "unauthorized": Kind(
        status=401,
        title="A key is needed",
        meaning="Send a key as Authorization: Bearer KEY; pingti keys add makes one.",
    ),
    "forbidden": Kind(
        status=403,
        title="Not allowed",
        meaning="The key's role (read, submit, admin) does not reach so far, or the job or file is another "
        "key's. Without any key the server answers requests to its loopback name alone; a page of another "
        "site may change nothing.",
    ),
    "not-found": Kind(
        status=404,
        title="There is no such thing here",
        meaning="The path, or the job, task, version or file that it names, does not exist.",
    ),
    "method-not-allowed": Kind(
        status=405,
        title="The path does not take this method",
        meaning="The Allow header lists those it takes.",
    ),
    "not-acceptable": Kind(
        status=406,
        title="No form that the client takes",
        meaning="The detail names the forms of the answer, one of which Accept has to allow.",
    ),
    "conflict": Kind(
        status=409,
        title="The present state does not allow this",
        meaning="Such as results of a job that still runs, or a task without a promoted student.",
    ),
    "gate-not-reached": Kind(
        status=409,
        title="The student falls short of its gate",
        meaning="Its holdout figures are in the report.",
    ),
    "too-large": Kind(
        status=413, title="The body is too large", meaning="The detail names the limit in bytes."
    ),
    "unsupported-media-type": Kind(
        status=415,
        title="The body's type is not taken",
        meaning="Jobs are application/json, files are multipart/form-data.",
    ),
    "range-not-satisfiable": Kind(
        status=416,
        title="The range is behind the end",
        meaning="Content-Range tells the file's size.",
    ),
    "invalid-input": Kind(
        status=422,
        title="The input cannot be used",
        meaning="errors[] names what is wrong: a pointer into the body, or a parameter.",
    ),
    "invalid-definition": Kind(
        status=422,
        title="The task's definition is wrong",
        meaning="The detail names the file, key and limits.",
    ),
    "too-many": Kind(
        status=429,
        title="Too much at once",
        meaning="A limit of the key on unfinished jobs, rows or stored bytes is reached, or too many wrong "
        "keys came from this address. Try again after Retry-After seconds.",
    ),
    "internal": Kind(
        status=500, title="Pingti failed", meaning="A fault of the server; its log has the details."
    ),
    "damaged-artifact": Kind(
        status=500,
        title="A stored file is damaged or too new",
        meaning="A student, report or cache in the workspace cannot be read.",
    ),
    "unavailable": Kind(
        status=503,
        title="Something that is needed does not answer",
        meaning="The broker or a worker cannot be reached now; try again after Retry-After seconds.",
    ),
    "no-space": Kind(
        status=507,
        title="The server's disk is full",
        meaning="Nothing was stored; delete files or jobs, or tell the operator.",
    ),
}

KIND_OF_STATUS: Mapping[int, str] = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-input",
    429: "too-many",
    503: "unavailable",
    507: "no-space",
}
"""For a status that the web framework answers by itself."""
