"""Exit codes of the command line and problem types of REST, from the tables and classes that are used."""

from collections.abc import Iterator

from api.cli.main import EXIT_CODES
from api.rest.problems import KINDS
from pingti import client, errors
from pingti.errors import PingtiError
from reference_pages.fields import cell, summary

_EXIT_CODES_HEAD = """\
# Exit codes

<!-- Written by docs/generate.py from api/cli/main.py and pingti/errors.py; do not edit by hand. -->

What `pingti` ends with. What was foreseen ends in one sentence on standard error, not in a traceback.
What to do about it: [Operating](../operating.md#what-each-error-means).

| exit code | meaning |
|--:|---|
"""

_ERRORS_HEAD = """\

## Errors in Python

Each error that Pingti raises on purpose has an `exit_code`, an `http_status`, a `kind`, and its `faults`
as data: what is wrong, with the file and row, or a JSON pointer. All are `pingti.errors.PingtiError`.

| error | exit code | HTTP status | kind | meaning |
|---|--:|--:|---|---|
"""

_PROBLEMS_HEAD = """\
# Problem types

<!-- Written by docs/generate.py from api/rest/problems/kinds.py; do not edit by hand. -->

Every error of the REST server is a problem document (RFC 9457, `application/problem+json`): `type` is
`/problems#TYPE`, a page that the server answers itself; `detail` is one sentence about this occurrence;
`errors[]` names what is wrong by a JSON pointer into the body (`#/inputs/0`) or by a `parameter`.

| type | status | title | meaning |
|---|--:|---|---|
"""


def exit_codes_page() -> str:
    """The text of reference/exit-codes.md."""
    codes = "".join(f"| {code} | {cell(meaning)} |\n" for code, meaning in EXIT_CODES.items())
    kinds = "".join(
        f"| `{_module(kind)}.{kind.__name__}` | {kind.exit_code} | {kind.http_status} | `{kind.kind}` "
        f"| {cell(summary(kind))} |\n"
        for kind in (PingtiError, *_below(PingtiError))
    )
    return _EXIT_CODES_HEAD + codes + _ERRORS_HEAD + kinds


def problems_page() -> str:
    """The text of reference/problems.md."""
    return _PROBLEMS_HEAD + "".join(
        f"| `{name}` | {kind.status} | {cell(kind.title)} | {cell(kind.meaning)} |\n"
        for name, kind in KINDS.items()
    )


def _module(kind: type[PingtiError]) -> str:
    """Where a caller imports an error from; those of the client are made elsewhere."""
    return errors.__name__ if kind.__module__ == errors.__name__ else client.__name__


def _below(kind: type[PingtiError]) -> Iterator[type[PingtiError]]:
    """The public errors that are of a kind, each before those that are of it in turn."""
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__ or below.__name__ in client.__all__:
            yield below
        yield from _below(below)
