"""An endpoint of SageMaker over real HTTP: every form in and out, and what is refused."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.sagemaker.app import create_app
from pingti.errors import ArtifactError
from pingti.exporting import bundle, sagemaker
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import Workspace
from tests.support.decided import assert_equal_decisions, decided_by_classify
from tests.support.paths import ROOT
from tests.support.rest import problem, serving_app
from tests.support.workspaces import with_rules

TASKS = ["tech", "sport@strict"]
BODY_BYTES = 200_000


@pytest.fixture
def model(workspace: Workspace, tmp_path: Path) -> Path:
    pins = pin(with_rules(workspace), [Choice.parse(task) for task in TASKS])
    sagemaker.write(workspace, pins, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def endpoint(model: Path) -> Iterator[httpx.Client]:
    with serving_app(create_app(bundle.load_all(model), body_bytes=BODY_BYTES)) as client:
        yield client


def ask(endpoint: httpx.Client, body: str | bytes, kind: str, **headers: str) -> httpx.Response:
    return endpoint.post("/invocations", content=body, headers={"content-type": kind, **headers})


@pytest.fixture
def asked(texts: list[str]) -> list[str]:
    return [
        *texts[:200],
        'a robot, "quoted"\nof two lines',
        "",
        "a browser",
        "caf\u00e9 \u4e2d\u6587 \u2028 \U0001f600",
    ]


@pytest.fixture
def wanted(workspace: Workspace, model: Path, asked: list[str], tmp_path: Path) -> list[dict[str, Any]]:
    decided = decided_by_classify(Classifier.of(workspace, TASKS), asked, tmp_path)
    assert {decision["tech"]["label"] for decision in decided} == {"yes", "no", None}
    return decided


def as_csv(texts: list[str]) -> str:
    lines = io.StringIO()
    csv.writer(lines, quoting=csv.QUOTE_ALL).writerows([text] for text in texts)
    return lines.getvalue()


def test_ping_says_that_it_is_ready(endpoint: httpx.Client) -> None:
    answer = endpoint.get("/ping")
    assert (answer.status_code, answer.content) == (200, b"")


def test_json_decides_as_pingti_classify(
    endpoint: httpx.Client, asked: list[str], wanted: list[dict[str, Any]]
) -> None:
    for body in ({"texts": asked}, {"instances": asked}, asked):
        answer = ask(endpoint, json.dumps(body), "application/json")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert_equal_decisions(answer.json()["results"], wanted)
        assert [task["task"] for task in answer.json()["tasks"]] == ["topic", "tech", "sport"]


def test_json_lines_come_back_line_by_line(
    endpoint: httpx.Client, asked: list[str], wanted: list[dict[str, Any]]
) -> None:
    plain = "\n".join(json.dumps(text, ensure_ascii=False) for text in asked)
    objects = "".join(json.dumps({"id": 7, "text": text}) + "\n" for text in asked)
    for body in (plain, objects):
        answer = ask(endpoint, body, "application/jsonlines; charset=UTF-8")
        assert answer.headers["content-type"] == "application/jsonlines"
        assert_equal_decisions([json.loads(line) for line in answer.text.splitlines()], wanted)


def test_rows_of_csv_come_back_row_by_row(
    endpoint: httpx.Client, asked: list[str], wanted: list[dict[str, Any]]
) -> None:
    answer = ask(endpoint, "\ufeff" + as_csv(asked), "text/csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len(rows) == len(wanted)
    names = list(wanted[0])
    results = [
        {
            name: {"label": row[2 * number] or None, "score": float(row[2 * number + 1] or "nan")}
            for number, name in enumerate(names)
        }
        for row in rows
    ]
    for result in results:
        for decision in result.values():
            if decision["label"] is None:
                decision["score"] = None
    assert_equal_decisions(results, wanted)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/jsonlines", "application/jsonlines"),
        ("text/csv", "text/csv"),
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("application/json;q=0.2, text/csv;q=0.9", "text/csv"),
        ("*/*, application/json;q=0", "application/jsonlines"),
    ],
)
def test_accept_is_honoured(endpoint: httpx.Client, accept: str, kind: str) -> None:
    answer = ask(endpoint, '["goal match"]', "application/json", accept=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == kind


@pytest.mark.parametrize(
    ("body", "kind", "accept", "status", "says"),
    [
        ("[1]", "application/json", "*/*", 422, "row 1: the text is of type int; needed is a string"),
        ('["a", null]', "application/json", "*/*", 422, "row 2: the text is null; needed is a string"),
        ("[]", "application/json", "*/*", 422, "the body holds no text"),
        ('{"texts": ["a"], "more": 1}', "application/json", "*/*", 422, "with no other key"),
        ('{"texts": "a"}', "application/json", "*/*", 422, 'needed is {"texts": ["one", ...]}'),
        ("{", "application/json", "*/*", 400, "The body is not JSON"),
        ("[" * 100_000, "application/json", "*/*", 400, "The body is not JSON"),
        (b'["\xff"]', "application/json", "*/*", 400, "The body is not UTF-8 at byte 2"),
        ('["\\ud800"]', "application/json", "*/*", 422, "row 1: holds half of a surrogate pair"),
        (json.dumps(["a", "b" * 100_001]), "application/json", "*/*", 422, "row 2: 100,001 characters"),
        ('"a"\n\n"b"', "application/jsonlines", "*/*", 400, "Line 2 is not JSON"),
        ('"a"\n{"title": "b"}', "application/jsonlines", "*/*", 422, "row 2: no key text"),
        ("a\nb,c\n", "text/csv", "*/*", 422, "row 2: 2 fields; needed is one, the text, in quotes"),
        ("a\n\nb\n", "text/csv", "*/*", 422, "row 2: 0 fields; needed is one"),
        ('a\n"b', "text/csv", "*/*", 422, "row 2: unexpected end of data"),
        ("", "text/csv", "*/*", 422, "the body holds no text"),
        ("a", "text/plain", "*/*", 415, "allowed are application/json, application/jsonlines, text/csv"),
        ("a", "text/csv; charset=latin-1", "*/*", 415, "in UTF-8"),
        ('["a"]', "application/json", "image/png", 406, "Accept is image/png; the answer can be"),
        (json.dumps(["a" * BODY_BYTES]), "application/json", "*/*", 413, "limit of 200,000 bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_in_one_sentence(
    endpoint: httpx.Client, body: str | bytes, kind: str, accept: str, status: int, says: str
) -> None:
    answer = ask(endpoint, body, kind, accept=accept)
    document = problem(answer)
    assert document["status"] == status
    assert says in document["detail"]
    assert "\n" not in document["detail"]


def test_a_body_of_no_told_length_is_bounded_too(endpoint: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        yield b'["'
        for _ in range(40):
            yield b"a" * 10_000
        yield b'"]'

    answer = endpoint.post("/invocations", content=parts(), headers={"content-type": "application/json"})
    assert problem(answer)["status"] == 413


def test_a_missing_content_type_is_told(endpoint: httpx.Client) -> None:
    answer = endpoint.post("/invocations", content=b"[]")
    assert "Content-Type is missing" in problem(answer)["detail"]


def test_several_exports_answer_together(workspace: Workspace, tmp_path: Path) -> None:
    several = tmp_path / "several"
    for name in ("sport", "topic"):
        sagemaker.write(workspace, pin(workspace, [Choice(task=name)]), several / name)
    with serving_app(create_app(bundle.load_all(several), body_bytes=BODY_BYTES)) as client:
        (result,) = ask(client, '["goal match team"]', "application/json").json()["results"]
    assert set(result) == {"sport", "topic"}
    shutil.copytree(several / "sport", several / "third")
    with pytest.raises(ArtifactError, match="sport and third both answer 'sport'"):
        bundle.load_all(several)
    with pytest.raises(ArtifactError, match=r"no pingti\.json in it, nor in a folder of it"):
        bundle.load_all(tmp_path / "nowhere")


def start(**variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-P", "-m", "api.sagemaker"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, cwd="/")


def test_the_process_answers_from_its_settings_until_it_is_told_to_end(model: Path) -> None:
    variables = {"PINGTI_ENDPOINT_MODEL": str(model), "PINGTI_ENDPOINT_HOST": "127.0.0.1"}
    with start(**variables, PINGTI_ENDPOINT_PORT="0") as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("Pingti answers tech, sport on 127.0.0.1, port ")
            url = f"http://127.0.0.1:{line.split()[-1]}"
            assert httpx.get(f"{url}/ping", timeout=30).status_code == 200
            assert httpx.post(f"{url}/invocations", json=["goal"], timeout=30).status_code == 200
            process.terminate()
            assert process.wait(timeout=30) in (0, -15)
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("variables", "code", "says"),
    [
        ({"PINGTI_ENDPOINT_MODEL": "/nowhere"}, 1, "/nowhere: no pingti.json in it"),
        ({"PINGTI_ENDPOINT_PORT": "high"}, 2, "PINGTI_ENDPOINT_PORT: "),
    ],
)
def test_a_process_that_cannot_start_says_why(variables: dict[str, str], code: int, says: str) -> None:
    with start(**variables) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert said.startswith(says)
    assert said.count("\n") == 1
