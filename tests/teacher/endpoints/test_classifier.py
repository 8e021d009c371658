import json
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from teacher.endpoints.classifier import ClassifierTeacher
from teacher.endpoints.settings import Endpoint
from tests.support.endpoints import LOOPBACK, answer_json, topic
from tests.support.http_servers import server

LABELS = ("sport", "tech", "other")
TEXTS = ["goal match", "chip code", "bread film", "team goal", "robot server"]


def score(answer: Any, texts: list[str], **changes: Any) -> tuple[np.ndarray, ClassifierTeacher]:
    def handle(request: BaseHTTPRequestHandler) -> None:
        inputs = json.loads(request.rfile.read(int(request.headers["Content-Length"])))["inputs"]
        answer(request, inputs)

    with server(handle) as url:
        values = {"batch": 2, "concurrency": 1, "pause": 0.001, **changes}
        teacher = ClassifierTeacher(Endpoint(url=url, labels=LABELS, private_networks=LOOPBACK, **values))
        return teacher.score(texts), teacher


def scores_of(text: str) -> list[dict[str, Any]]:
    return [{"label": name, "score": 0.8 if name == topic(text) else 0.1} for name in reversed(LABELS)]


def test_labels_and_scores_are_read_whatever_their_order_and_a_fault_is_tried_again() -> None:
    faults = cycle([500, 200])

    def answer(request: BaseHTTPRequestHandler, inputs: list[str]) -> None:
        answer_json(request, [scores_of(text) for text in inputs], next(faults))

    probabilities, teacher = score(answer, TEXTS)
    assert probabilities.argmax(axis=1).tolist() == [0, 1, 2, 0, 1]
    assert probabilities.max(axis=1) == pytest.approx([0.8] * 5)
    assert teacher.cost.rows == 5


def test_one_text_may_be_answered_without_a_list_around() -> None:
    probabilities, _ = score(lambda request, inputs: answer_json(request, scores_of(inputs[0])), ["goal"])
    assert probabilities.argmax(axis=1).tolist() == [0]


@pytest.mark.parametrize(
    ("document", "malformed"),
    [
        ({"error": "loading"}, 2),
        ([[{"label": "sport", "score": 1.0}]], 2),
        ([[{"label": "sport", "score": 1.0}], [{"label": "cats", "score": 1.0}]], 1),
        ([[{"label": "sport", "score": 1.0}], [{"label": "tech"}]], 1),
        ([[{"label": "sport", "score": 1.0}], [{"label": "tech", "score": -1}]], 1),
        ([[{"label": "sport", "score": 1.0}], None], 1),
        ([[{"label": "sport", "score": 1.0}], []], 1),
    ],
)
def test_what_cannot_be_read_is_counted_and_left_out(document: Any, malformed: int) -> None:
    probabilities, teacher = score(lambda request, _: answer_json(request, document), TEXTS[:2])
    assert teacher.cost.malformed == malformed
    assert int(np.isnan(probabilities).all(axis=1).sum()) == malformed
