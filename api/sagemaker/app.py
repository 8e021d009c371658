"""The application of an endpoint, over classifiers that are loaded."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api.rest import problems
from api.rest.problems import ProblemError
from api.sagemaker.forms import Decision, form_of, read_texts, wanted_form, written
from pingti import __version__
from pingti.inference.classifier import Classifier

_SCORE_DIGITS = 6  # as the REST service answers


def create_app(classifiers: Sequence[Classifier], *, body_bytes: int) -> FastAPI:
    """Build the application.

    Args:
        classifiers: what answers; no two of them by the same name.
        body_bytes: most bytes of a request's body.
    """
    app = FastAPI(title="Pingti for SageMaker", version=__version__, docs_url=None, redoc_url=None)
    problems.install(app)
    tasks = [{**_described(pin), "column": pin.name} for classifier in classifiers for pin in classifier.pins]

    @app.get("/ping")
    def ping() -> Response:
        """Answer that the students are loaded; else the process would not listen."""
        return Response()

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        """Decide on the texts of a body; batch transform sends many lines at once."""
        sent = form_of(request.headers.get("content-type"))
        form = wanted_form(request.headers.get("accept"), sent)
        body = await _body(request, body_bytes)

        def answer() -> bytes:
            texts = read_texts(body, sent)
            return written(decide(classifiers, texts), tasks, form)

        return Response(await run_in_threadpool(answer), media_type=form)

    return app


def decide(classifiers: Sequence[Classifier], texts: Sequence[str]) -> list[dict[str, Decision]]:
    """Decide on n texts.

    Args:
        classifiers: as of ``create_app``.
        texts: n strings.

    Returns:
        For each text by task its decision.
    """
    results: list[dict[str, Decision]] = [{} for _ in texts]
    column = pa.array(texts, pa.large_string())
    for classifier in classifiers:
        decided = classifier.classify(
            pa.record_batch({"id": pa.nulls(len(texts), pa.string()), "text": column})
        )
        for pin in classifier.pins:
            if pin.hidden:
                continue
            labels, scores = decided.column(pin.name), decided.column(f"{pin.name}_score")
            for result, label, score in zip(results, labels.to_pylist(), scores.to_pylist(), strict=True):
                result[pin.name] = {
                    "label": label,
                    "score": None if score is None else round(score, _SCORE_DIGITS),
                }
    return results


def _described(pin: Any) -> dict[str, Any]:
    return {name: getattr(pin, name) for name in ("task", "scene", "version", "threshold", "hidden")}


async def _body(request: Request, most: int) -> bytes:
    """The body, of which no more than ``most`` bytes are ever held."""
    refusal = ProblemError("too-large", f"The body is larger than the limit of {most:,} bytes.")
    length = request.headers.get("content-length", "0")
    if length.isascii() and length.isdigit() and int(length) > most:
        raise refusal
    parts, seen = [], 0
    async for part in request.stream():
        seen += len(part)
        if seen > most:  # a chunked body tells no length beforehand
            raise refusal
        parts.append(part)
    return b"".join(parts)
