"""From an event of AWS Lambda to its answer."""

from http import HTTPStatus
from typing import Any

from pingti.errors import InputError
from pingti.exporting.runtime.decisions import Decisions
from pingti.exporting.runtime.events import Answer, method_of, problem, response, texts_of


def handle(event: Any, decisions: Decisions) -> dict[str, Any]:
    """Answer an event.

    Args:
        event: of one of the kinds of ``events``.
        decisions: the tasks that are asked.

    Returns:
        By HTTP a response with a status, else the document alone: ``tasks``, the students that answered, and
        ``results``, for each text by task its label and score, as ``POST /v1/classify`` of the service.

    Raises:
        InputError: the event brings records of a queue, a stream or a bucket.
    """
    if isinstance(event, dict) and "Records" in event:
        # Whatever is returned for them counts as done: the records would be gone, and no label is anywhere.
        raise InputError(
            "the event brings records of a queue, a stream or a bucket, which this function does not read; "
            'call it with {"texts": ["one", ...]}, or send those files and rows to a job'
        )
    return response(event, _answer(event, decisions))


def _answer(event: Any, decisions: Decisions) -> Answer:
    method = method_of(event)
    if method not in (None, "POST"):
        return problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not answered; allowed is POST.")
    try:
        texts = texts_of(event)
    except InputError as error:
        return problem(HTTPStatus.BAD_REQUEST, str(error))
    document = {"tasks": decisions.described(), "results": decisions.decide(texts)}
    return Answer(status=HTTPStatus.OK, document=document)
