"""The events of AWS Lambda that ask for labels, and how each wants to be answered.

- API Gateway's REST API and load balancers (payload 1.0): ``httpMethod``, ``body``, ``isBase64Encoded``
- API Gateway's HTTP API and function URLs (payload 2.0): ``requestContext.http.method``, and the same body
- a direct call: ``{"texts": [...]}``, or the list alone

A body is ``{"texts": [...]}`` in JSON. What is wrong with an event is told in one sentence, as a problem
document (RFC 9457) of status 400; only POST is answered, any other method gets 405.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pingti.errors import InputError

MOST_TEXTS = 10_000
"""Texts that one event may hold."""
MOST_CHARACTERS = 100_000
"""Of one text."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is said to an event."""

    status: HTTPStatus
    document: dict[str, Any]


def method_of(event: Any) -> str | None:
    """The HTTP method by which an event came; None where it is a direct call."""
    if not isinstance(event, dict):
        return None
    if isinstance(event.get("httpMethod"), str):
        return str(event["httpMethod"]).upper()
    context = event.get("requestContext")
    http = context.get("http") if isinstance(context, dict) else None
    return str(http.get("method", "")).upper() if isinstance(http, dict) else None


def texts_of(event: Any) -> list[str]:
    """The texts of an event.

    Raises:
        InputError: it holds none, or what is no text, or too many or too large ones.
    """
    asked = event if method_of(event) is None else _body(event)
    if isinstance(asked, dict):
        unknown = sorted(map(str, set(asked) - {"texts"}))
        if unknown:
            raise InputError(f"#/{unknown[0]}: there is no such key; allowed is texts")
        if "texts" not in asked:
            raise InputError('#/texts: it is missing; needed is a list of strings, {"texts": ["one", ...]}')
        asked = asked["texts"]
    if not isinstance(asked, list):
        raise InputError(f"#/texts: {_kind(asked)}; needed is a list of strings")
    if not 1 <= len(asked) <= MOST_TEXTS:
        raise InputError(f"#/texts: {len(asked):,} texts; allowed are 1 to {MOST_TEXTS:,}")
    for number, text in enumerate(asked):
        _check(text, f"#/texts/{number}")
    return asked


def problem(status: HTTPStatus, detail: str) -> Answer:
    """A refusal in one sentence."""
    document = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    return Answer(status=status, document=document)


def response(event: Any, answer: Answer) -> dict[str, Any]:
    """An answer in the form that an event's sender reads."""
    if method_of(event) is None:
        return answer.document
    kind = "application/json" if answer.status == HTTPStatus.OK else "application/problem+json"
    headers = {"content-type": kind}
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = "POST"
    body = json.dumps(answer.document, ensure_ascii=False, separators=(",", ":"))
    return {"statusCode": int(answer.status), "headers": headers, "body": body, "isBase64Encoded": False}


def _body(event: dict[str, Any]) -> Any:
    """The JSON value of an HTTP event's body."""
    body = event.get("body")
    if not isinstance(body, str) or not body:
        raise InputError('the body is empty; needed is JSON, {"texts": ["one", ...]}')
    try:
        value = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body
        asked = json.loads(value)
    except binascii.Error as error:
        raise InputError(f"the body is not base64, as the event says: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is not JSON: {error}") from error
    if not isinstance(asked, dict):
        raise InputError(f'the body: {_kind(asked)}; needed is an object, {{"texts": ["one", ...]}}')
    return asked


def _check(text: Any, place: str) -> None:
    if not isinstance(text, str):
        raise InputError(f"{place}: {_kind(text)}; needed is a string")
    check_characters(text, place)


def check_characters(text: str, place: str) -> None:
    """Check that a text is no longer than allowed, and that its characters are whole.

    Args:
        text: is checked.
        place: of it, for the error.

    Raises:
        InputError: it is not so.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"{place}: {len(text):,} characters; allowed are {MOST_CHARACTERS:,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{place}: holds half of a surrogate pair (\\ud800 to \\udfff); it is no text"
        ) from None


def _kind(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number"}
    return names.get(type(value), f"a value of type {type(value).__name__}")
