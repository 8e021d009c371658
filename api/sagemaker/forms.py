"""The forms in which texts come and decisions go: JSON, JSON lines, CSV; and which form Accept asks for."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from api.rest.problems import ProblemError
from pingti.errors import InputError
from pingti.exporting.runtime.events import check_characters

JSON, JSON_LINES, CSV = "application/json", "application/jsonlines", "text/csv"
FORMS = (JSON, JSON_LINES, CSV)
_UTF_8 = ("utf-8", "utf8", "us-ascii")

Decision = dict[str, Any]
"""``label`` and ``score``; both None where the task does not apply."""


def form_of(content_type: str | None) -> str:
    """The form of a body.

    Raises:
        ProblemError: unsupported-media-type.
    """
    kind, *parameters = [part.strip() for part in (content_type or "").lower().split(";")]
    charset = dict(part.partition("=")[::2] for part in parameters).get("charset", "utf-8").strip('"')
    if kind not in FORMS or charset not in _UTF_8:
        raise ProblemError(
            "unsupported-media-type",
            f"The body's Content-Type is {content_type or 'missing'}; allowed are {', '.join(FORMS)}, "
            "in UTF-8.",
        )
    return kind


def wanted_form(accept: str | None, sent: str) -> str:
    """The form that a client takes best; that of its body, where several are as good.

    Args:
        accept: the header; anything is taken where it is absent.
        sent: the form of the body.

    Raises:
        ProblemError: not-acceptable.
    """
    best, most = None, 0.0
    for form in (sent, *FORMS):
        quality = _quality(form, accept or "*/*")
        if quality > most:
            best, most = form, quality
    if best is None:
        raise ProblemError("not-acceptable", f"Accept is {accept}; the answer can be {', '.join(FORMS)}.")
    return best


def _quality(form: str, accept: str) -> float:
    """How well a form is taken (RFC 9110, section 12.5.1): the most exact range of the header counts."""
    exactness, quality = -1, 0.0
    for part in accept.lower().split(","):
        kind, *parameters = [piece.strip() for piece in part.split(";")]
        ranges = ("*/*", f"{form.partition('/')[0]}/*", form)
        if kind in ranges and ranges.index(kind) > exactness:
            exactness = ranges.index(kind)
            named = dict(piece.partition("=")[::2] for piece in parameters)
            try:
                quality = float(named.get("q", "1"))
            except ValueError:
                quality = 0.0
    return quality


def read_texts(body: bytes, form: str) -> list[str]:
    """The texts of a body: of JSON ``{"texts": [...]}``, ``{"instances": [...]}`` or the list alone.

    A line of JSON lines is ``{"text": "..."}``, whatever other keys it has, or the string alone. A row of CSV
    has one field and no header, as SageMaker sends it.

    Args:
        body: in UTF-8.
        form: one of ``FORMS``.

    Raises:
        InputError: it is not of that form; the sentence names the row, from 1.
        ProblemError: it cannot be read at all.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProblemError("bad-request", f"The body is not UTF-8 at byte {error.start}.") from error
    texts = {JSON: _of_json, JSON_LINES: _of_json_lines, CSV: _of_csv}[form](text)
    if not texts:
        raise InputError("the body holds no text; needed is one or more")
    for number, value in enumerate(texts, 1):
        if not isinstance(value, str):
            kind = "null" if value is None else f"of type {type(value).__name__}"
            raise InputError(f"row {number}: the text is {kind}; needed is a string")
        check_characters(value, f"row {number}")
    return texts


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProblemError("bad-request", f"{place} is not JSON: {error}") from error


def _of_json(text: str) -> list[Any]:
    value = _parsed(text, "The body")
    if isinstance(value, dict) and len(value) == 1:
        value = value.get("texts", value.get("instances"))
    if not isinstance(value, list):
        raise InputError('the body: needed is {"texts": ["one", ...]}, with no other key')
    return value


def _of_json_lines(text: str) -> list[Any]:
    texts = []
    # By line feeds alone: str.splitlines would cut at characters that JSON may hold.
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        value = _parsed(line, f"Line {number}")
        if isinstance(value, dict):
            if "text" not in value:
                raise InputError(f'row {number}: no key text; needed is {{"text": "..."}} or a string')
            value = value["text"]
        texts.append(value)
    return texts


def _of_csv(text: str) -> list[Any]:
    texts = []
    try:
        for number, fields in enumerate(csv.reader(io.StringIO(text, newline=""), strict=True), 1):
            if len(fields) != 1:
                raise InputError(
                    f"row {number}: {len(fields)} fields; needed is one, the text, in quotes where it is "
                    "empty or holds a comma, a quote or a line break"
                )
            texts += fields
    except csv.Error as error:
        raise InputError(f"row {len(texts) + 1}: {error}") from error
    return texts


def written(results: Sequence[dict[str, Decision]], tasks: Sequence[dict[str, Any]], form: str) -> bytes:
    """Decisions as an answer's body; in CSV and JSON lines a line for each text, in their order.

    Args:
        results: for each text by task its decision.
        tasks: what answered, for JSON.
        form: one of ``FORMS``. A row of CSV has label and score of one task after the other.
    """
    if form == JSON:
        return _json({"tasks": list(tasks), "results": list(results)})
    if form == JSON_LINES:
        return b"".join(_json(result) + b"\n" for result in results)
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for result in results:
        writer.writerow(
            value for decision in result.values() for value in (decision["label"], decision["score"])
        )
    return lines.getvalue().encode()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
