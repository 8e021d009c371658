"""Events of every kind, and what is wrong with one in one sentence."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pingti.errors import ArtifactError, InputError
from pingti.exporting import bundle
from pingti.exporting.runtime.decisions import Decisions
from pingti.exporting.runtime.events import MOST_CHARACTERS, MOST_TEXTS
from pingti.exporting.runtime.handler import handle
from pingti.exporting.runtime.manifest import MANIFEST
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import Workspace
from tests.support.decided import assert_equal_decisions, decided_by_classify
from tests.support.workspaces import with_rules


@pytest.fixture
def folder(workspace: Workspace, tmp_path: Path) -> Path:
    pins = pin(workspace, [Choice.parse(task) for task in ("tech", "sport", "sport@strict")])
    bundle.write(workspace, pins, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def decisions(folder: Path) -> Decisions:
    return Decisions.load(folder)


def gateway(body: object, **fields: Any) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"httpMethod": "POST", "path": "/", "body": text, "isBase64Encoded": False, **fields}


def function_url(body: object, method: str = "POST", **fields: Any) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"version": "2.0", "requestContext": {"http": {"method": method}}, "body": text, **fields}


def test_records_of_a_queue_fail_and_do_not_count_as_done(decisions: Decisions) -> None:
    event = {"Records": [{"messageId": "1", "body": '{"texts": ["a goal"]}', "eventSource": "aws:sqs"}]}
    with pytest.raises(InputError, match="records of a queue, a stream or a bucket"):
        handle(event, decisions)


def test_all_events_of_the_same_texts_get_the_same_answer(decisions: Decisions, texts: list[str]) -> None:
    asked = {"texts": texts[:9]}
    encoded = base64.b64encode(json.dumps(asked).encode()).decode()
    answer = handle(asked, decisions)
    assert handle(texts[:9], decisions) == answer
    for event in (
        gateway(asked),
        function_url(asked),
        gateway(encoded, isBase64Encoded=True),
        function_url(encoded, isBase64Encoded=True),
    ):
        response = handle(event, decisions)
        assert response["statusCode"] == 200
        assert response["headers"] == {"content-type": "application/json"}
        assert response["isBase64Encoded"] is False
        assert json.loads(response["body"]) == answer
    assert len(answer["results"]) == 9
    assert {task["column"] for task in answer["tasks"]} == {"tech", "sport", "sport@strict"}


def test_what_a_folder_decides_is_what_its_classifier_decides(
    workspace: Workspace, texts: list[str], tmp_path: Path
) -> None:
    pins = pin(with_rules(workspace), [Choice.parse(task) for task in ("tech", "sport", "sport@strict")])
    assert any(own.hidden for own in pins)  # tech depends on topic, which nobody asked for
    bundle.write(workspace, pins, tmp_path / "model")
    wanted = decided_by_classify(bundle.load(tmp_path / "model"), texts, tmp_path)
    assert_equal_decisions(Decisions.load(tmp_path / "model").decide(texts), wanted)
    assert set(wanted[0]) == {"tech", "sport", "sport@strict"}


@pytest.mark.parametrize(
    ("event", "detail"),
    [
        ({"texts": None}, "#/texts: null; needed is a list of strings"),
        ({"texts": "one"}, "#/texts: a string; needed is a list of strings"),
        ({"texts": []}, "#/texts: 0 texts; allowed are 1 to 10,000"),
        ({"texts": ["a"] * (MOST_TEXTS + 1)}, "#/texts: 10,001 texts; allowed are 1 to 10,000"),
        ({"texts": ["a", None]}, "#/texts/1: null; needed is a string"),
        ({"texts": [True]}, "#/texts/0: true; needed is a string"),
        ({"texts": [{}]}, "#/texts/0: an object; needed is a string"),
        ({"texts": ["a", "b" * (MOST_CHARACTERS + 1)]}, "#/texts/1: 100,001 characters; allowed are 100,000"),
        ({"texts": ["\ud800"]}, "#/texts/0: holds half of a surrogate pair"),
        ({"text": "a"}, "#/text: there is no such key; allowed is texts"),
        ({}, "#/texts: it is missing"),
        (None, "#/texts: null; needed is a list of strings"),
        (7, "#/texts: a number; needed is a list of strings"),
        (gateway("[1"), "the body is not JSON"),
        (gateway(["a"]), "the body: a list; needed is an object"),
        (gateway(""), "the body is empty"),
        ({"httpMethod": "POST", "body": None}, "the body is empty"),
        (gateway("%%%", isBase64Encoded=True), "the body is not base64"),
        (gateway("/w==", isBase64Encoded=True), "the body is not JSON"),
        (gateway("[" * 100_000), "the body is not JSON"),
        (function_url({"texts": [1]}), "#/texts/0: a number; needed is a string"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_by_400_and_one_sentence(event: Any, detail: str, decisions: Decisions) -> None:
    answer = handle(event, decisions)
    by_http = "statusCode" in answer
    document = json.loads(answer["body"]) if by_http else answer
    assert document["detail"].startswith(detail)
    assert "\n" not in document["detail"]
    assert (document["status"], document["title"]) == (400, "Bad Request")
    if by_http:
        assert answer["statusCode"] == 400
        assert answer["headers"] == {"content-type": "application/problem+json"}


def test_other_methods_than_post_are_not_answered(decisions: Decisions) -> None:
    for event in (function_url({"texts": ["a"]}, method="GET"), gateway({}, httpMethod="DELETE")):
        answer = handle(event, decisions)
        assert answer["statusCode"] == 405
        assert answer["headers"]["allow"] == "POST"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no pingti.json in it"),
        ("{", "not readable as JSON"),
        ("[]", "no format number in it"),
        ('{"format": 2}', "format 2 is newer than 1"),
        ('{"format": 1, "pins": []}', "its pins are damaged"),
        ('{"format": 1, "pins": [{"task": "sport"}]}', "its pins are damaged"),
    ],
)
def test_a_damaged_folder_is_refused(folder: Path, content: str | None, says: str) -> None:
    (folder / MANIFEST).unlink()
    if content is not None:
        (folder / MANIFEST).write_text(content, encoding="utf-8")
    for load in (Decisions.load, bundle.load):
        with pytest.raises(ArtifactError, match=says):
            load(folder)
