"""Every error is a problem document, and the OpenAPI document says so."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.rest.app import create_app
from api.rest.problems import KINDS, MEDIA_TYPE, ProblemError, install
from api.rest.problems.kinds_page import CHINESE
from pingti import errors
from queue_worker.settings import Settings
from tests.support.rest import problem, serving, serving_app


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with an empty workspace and no broker."""
    with serving(Settings(home=tmp_path_factory.mktemp("empty"))) as client:
        yield client


def subclasses(kind: type[errors.PingtiError]) -> Iterator[type[errors.PingtiError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from subclasses(child)


# Those of the client are what it makes of problems, and no room raises them.
ROOMS = [kind for kind in subclasses(errors.PingtiError) if not kind.__module__.startswith("pingti.calls.")]


@pytest.mark.parametrize("kind", ROOMS, ids=lambda kind: kind.__name__)
def test_each_error_of_the_rooms_has_its_problem(kind: type[errors.PingtiError]) -> None:
    app = FastAPI()
    install(app)

    @app.get("/")
    def fail() -> None:
        raise kind("the reason")

    with serving_app(app) as client:
        answer = client.get("/")
    document = problem(answer)
    assert answer.status_code == kind.http_status == KINDS[kind.kind].status
    assert document["type"] == f"/problems#{kind.kind}"
    assert document["detail"] == "the reason"
    assert ("retry-after" in answer.headers) == (kind.http_status == 503)


def test_a_place_in_the_request_becomes_a_pointer() -> None:
    app = FastAPI()
    install(app)

    faults = [
        errors.Fault(detail="no column 'text': it has a, b", pointer="/inputs/12"),
        errors.Fault(detail="not readable", file="a.csv", row=7),
        errors.Fault(detail="no regular expression", file="tasks/sport.toml", pointer="/rules/drop/0"),
        errors.Fault(detail="too many keys", pointer=""),
    ]

    @app.get("/")
    def fail() -> None:
        raise errors.InputError("inputs[12]: no column 'text': it has a, b", faults=faults)

    @app.get("/sentence")
    def fail_with_a_sentence() -> None:
        raise errors.InputError("inputs[12]: no column 'text': it has a, b")

    with serving_app(app) as client:
        document = problem(client.get("/"))
        unplaced = problem(client.get("/sentence"))
    assert document["detail"] == "inputs[12]: no column 'text': it has a, b"
    assert document["errors"] == [
        {"pointer": "#/inputs/12", "detail": "no column 'text': it has a, b"},
        {"pointer": "#", "detail": "too many keys"},
    ]
    assert "errors" not in unplaced  # nothing is read out of a sentence


def test_an_unknown_error_tells_the_caller_nothing_of_it() -> None:
    app = FastAPI()
    install(app)

    @app.get("/")
    def fail() -> None:
        raise ValueError("a secret of the server")

    with serving_app(app) as client:
        answer = client.get("/")
    assert answer.status_code == 500
    assert "secret" not in str(problem(answer))


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"tasks": ["sport"]}, "#/inputs", "this is needed"),
        ({"inputs": [], "tasks": ["sport"]}, "#/inputs", "needed is a list of at least 1"),
        ({"inputs": "a.csv", "tasks": ["sport"]}, "#/inputs", "needed is a list"),
        ({"inputs": ["a.csv", 7], "tasks": ["sport"]}, "#/inputs/1", "string"),
        ({"inputs": ["a.csv"], "tasks": ["sport"], "priority": 10}, "#/priority", "less than or equal to 9"),
        ({"inputs": ["a.csv"], "tasks": ["sport"], "metadata": {"a/b~c": 1}}, "#/metadata/a~1b~0c", "string"),
        ({"inputs": ["a.csv"], "tasks": ["sport"], "prioritty": 1}, "#/prioritty", "no such field"),
        ([], "#", "needed is an object"),
    ],
)
def test_validation_points_into_the_body(client: httpx.Client, body: Any, pointer: str, words: str) -> None:
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    assert [item["pointer"] for item in problem(answer)["errors"]] == [pointer]
    assert words in problem(answer)["errors"][0]["detail"]


def test_a_body_that_is_not_json(client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", content=b'{"inputs": [', headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert problem(answer)["errors"][0]["pointer"] == "#"
    answer = client.post("/v1/jobs", content=b"inputs=a.csv", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert "text/plain" in problem(answer)["detail"]


def test_a_wrong_item_of_a_list_is_told_once(client: httpx.Client) -> None:
    for body, pointer in (
        ({"inputs": [5], "tasks": ["sport"]}, "#/inputs/0"),
        ({"inputs": ["a.csv"], "tasks": [None]}, "#/tasks/0"),
    ):
        document = problem(client.post("/v1/jobs", json=body))
        assert [item["pointer"] for item in document["errors"]] == [pointer]
        assert "more)" not in document["detail"]


def test_nested_and_broken_unicode_bodies_are_the_callers_fault(client: httpx.Client) -> None:
    json_type = {"Content-Type": "application/json"}
    for body in (b"[" * 100_000, b'{"inputs": ["\xff"]}', b'{"priority": ' + b"9" * 5_000 + b"}"):
        unread = client.post("/v1/jobs", content=body, headers=json_type)
        assert 400 <= unread.status_code < 500
        assert (
            "not UTF-8, nested too deeply, or holds a number of too many digits" in problem(unread)["detail"]
        )
    surrogate = client.post("/v1/jobs", content=b'{"\\ud800": 1}', headers=json_type)
    assert surrogate.status_code == 422
    problem(surrogate)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "status=asleep",
        "cursor=%00",
        "cursor=" + "a" * 65,
        "submitted_after=5",
    ],
)
def test_parameters_are_named(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/v1/jobs?{query}")
    assert answer.status_code == 422
    assert problem(answer)["errors"][0]["parameter"] == query.partition("=")[0]
    assert "Value error" not in answer.text


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v1/jobs/", "/static/nothing.js", "/v1/tasks/sport/nothing"]
)
def test_unknown_paths(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert problem(answer)["detail"] == f"There is nothing at {path}."


def test_wrong_methods(client: httpx.Client) -> None:
    answer = client.delete("/v1/jobs")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) <= {"GET", "POST"}
    assert "does not take DELETE" in problem(answer)["detail"]


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fetc", "%2e%2e", "a%00b", "x" * 3000, "%ed%a0%80"])
def test_unknown_tasks_and_jobs(client: httpx.Client, name: str) -> None:
    for path in (f"/v1/tasks/{name}", f"/v1/tasks/{name}/versions/1/report"):
        answer = client.get(path)
        assert 400 <= answer.status_code < 500
        problem(answer)


def test_without_a_broker_jobs_say_so(client: httpx.Client) -> None:
    answer = client.get("/v1/jobs")
    assert answer.status_code == 503
    assert "PINGTI_REDIS_URL" in problem(answer)["detail"]
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    assert problem(ready)["detail"] == ready.json()["broker"]
    assert client.get("/healthz").status_code == 200


def test_the_page_explains_every_type(client: httpx.Client) -> None:
    page = client.get("/problems").text
    for kind in KINDS:
        assert f'id="{kind}"' in page


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in create_app(Settings()).openapi()["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


@pytest.mark.parametrize(("name", "operation"), list(operations()), ids=lambda value: str(value)[:40])
def test_openapi_documents_each_error(name: str, operation: dict[str, Any]) -> None:
    failures = {status: entry for status, entry in operation["responses"].items() if int(status) >= 400}
    if "/v1/" in name:
        assert {"401", "403", "500"} <= set(failures)
        assert operation["security"]
        for status, entry in failures.items():
            content = entry["content"][MEDIA_TYPE]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            for kind, example in content["examples"].items():
                assert example["value"]["status"] == KINDS[kind].status == int(status)
    if operation.get("requestBody"):
        assert {"400", "413", "415", "422"} <= set(failures)
        assert [status for status in operation["responses"] if status.startswith("2")]


def test_openapi_refers_to_nothing_that_is_missing() -> None:
    document = create_app(Settings()).openapi()
    named = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert "Problem" in named
    assert named == set(document["components"]["schemas"])


def test_kinds_and_door_errors_agree() -> None:
    known = {kind.kind for kind in subclasses(errors.PingtiError) if kind.__module__ == errors.__name__}
    assert known <= set(KINDS)
    assert ProblemError("too-large", "too large").kind in KINDS


def test_every_body_and_every_problem_has_an_example(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]

    def shown(content: dict[str, Any]) -> bool:
        name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        return bool({"example", "examples"} & (content.keys() | schemas.get(name, {}).keys()))

    without = [
        (method, path, place)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for place, answer in [("body", operation.get("requestBody", {})), *operation["responses"].items()]
        for kind, content in answer.get("content", {}).items()
        if (place == "body" or kind == MEDIA_TYPE) and not shown(content)
    ]
    assert without == []


@pytest.mark.parametrize("field", ["inputs", "tasks"])
def test_too_many_inputs_are_refused_in_plain_words(client: httpx.Client, field: str) -> None:
    body = {"inputs": ["a.csv"], "tasks": ["sport"], field: ["a"] * 5000}
    document = problem(client.post("/v1/jobs", json=body))
    assert document["status"] == 422
    assert document["detail"] == f"#/{field}: needed is a list of at most 1000"


def test_the_page_of_problems_is_in_the_language_that_is_asked_for(client: httpx.Client) -> None:
    for language, accept, written, says in (
        (None, "", "en", "A key is needed"),
        (None, "zh-CN,zh;q=0.9,en;q=0.8", "zh", "需要密钥"),
        (None, "en-GB,en;q=0.9,zh;q=0.8", "en", "A key is needed"),
        ("zh", "en", "zh", "需要密钥"),
        ("en", "zh", "en", "A key is needed"),
    ):
        params = {"language": language} if language else {}
        answer = client.get("/problems", params=params, headers={"Accept-Language": accept})
        assert answer.headers["content-language"] == written
        assert f'<html lang="{written}">' in answer.text
        assert says in answer.text
        for kind in KINDS:
            assert f'<section id="{kind}">' in answer.text
    assert client.get("/problems", params={"language": "de"}).status_code == 422


def test_every_kind_of_problem_is_told_in_chinese() -> None:
    assert CHINESE.keys() == KINDS.keys()
    assert all(re.search("[\u4e00-\u9fff]", text) for texts in CHINESE.values() for text in texts)
