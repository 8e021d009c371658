"""Definitions over HTTP: JSON and TOML, what is refused, and where paths may lead."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.keys import Role, add_key
from api.rest.definition_toml import write_toml
from pingti.checks import check_task
from pingti.errors import DefinitionError
from pingti.workspace.definition import parse
from pingti.workspace.registry import Workspace
from queue_worker.settings import Settings
from tests.support.model_folders import write_model
from tests.support.rest import bearer, problem, serving

SMALL = {"classes": ["no", "yes"], "corpus": {"files": ["../corpus.jsonl"]}, "teacher": {"model": "../bert"}}


def furnish(workspace: Workspace) -> None:
    """What ``SMALL`` and its like name is there."""
    (workspace.root / "corpus.jsonl").write_text('{"text": "a", "title": "b", "key": "c"}\n')
    write_model(workspace.root / "bert", {"id2label": {"0": "no", "1": "yes"}})


def endpoint(url: str) -> dict[str, Any]:
    return {"kind": "classifier", "url": url}


@pytest.fixture
def client(workspace: Workspace) -> Iterator[httpx.Client]:
    furnish(workspace)
    with serving(Settings(home=workspace.root)) as client:
        yield client


@pytest.fixture(scope="module")
def shared(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """For tests that change nothing in it."""
    root = tmp_path_factory.mktemp("definitions") / "workspace"
    shutil.copytree(_workspace_template, root)
    secret = root.parent / "secret"
    secret.mkdir()
    (secret / "a.csv").write_text("text\nx\n")
    (root / "link").symlink_to(secret)
    (root / "inside").mkdir()
    (root / "inside" / "a.csv").symlink_to(secret / "a.csv")
    furnish(Workspace(root))
    return Workspace(root)


@pytest.fixture(scope="module")
def strict(shared: Workspace) -> Iterator[httpx.Client]:
    with serving(Settings(home=shared.root)) as client:
        yield client


def put(client: httpx.Client, name: str, body: Any, **query: Any) -> httpx.Response:
    if isinstance(body, str):
        headers = {"Content-Type": "application/toml"}
        return client.put(f"/v1/tasks/{name}/definition", content=body, headers=headers, params=query)
    return client.put(f"/v1/tasks/{name}/definition", json=body, params=query)


def test_a_task_is_made_changed_and_read(client: httpx.Client, workspace: Workspace) -> None:
    body = {
        **SMALL,
        "rules": {"drop": ["^\\s*$"]},
        "scenes": {"live": {"precision": 0.97}},
        "retrain": {"at": "02:00"},
        "teacher": {"model": "task:sport", "map": {"yes": "yes", "*": "no"}},
    }
    assert put(client, "praise", body, validate_only=True).status_code == 204
    assert "praise" not in workspace.task_names()
    created = put(client, "praise", body)
    assert created.status_code == 201
    assert created.json()["scenes"] == ["default", "live"]
    entry = workspace.task("praise")
    assert entry.definition.retrain is not None
    assert entry.definition.teacher.map == {"yes": "yes", "*": "no"}
    answer = client.get("/v1/tasks/praise/definition").json()
    assert answer["toml"] == entry.path.read_text()
    assert answer["definition"]["corpus"]["files"] == ["../corpus.jsonl"]
    assert answer["definition"]["gate"]["precision"] == 0.9

    toml = f"# my own words\n{answer['toml']}".replace('classes = ["no", "yes"]', 'classes = ["n", "yes"]')
    toml = toml.replace('"*" = "no"', '"*" = "n"')
    changed = put(client, "praise", toml)
    assert changed.status_code == 200, changed.text
    assert changed.json()["classes"] == ["n", "yes"]
    assert entry.path.read_text() == toml  # to the letter, comments too
    events = client.get("/v1/tasks/praise/history").json()["items"]
    assert [(event["event"], event["who"], event["why"]) for event in events] == [
        ("defined", "local", "changed over REST"),
        ("defined", "local", "made over REST"),
    ]


def test_an_address_that_holds_a_key_is_refused_and_not_shown(strict: httpx.Client) -> None:
    for url in ("https://user:s3cret@a.example/", "https://a.example/?api_key=s3cret"):
        answer = put(strict, "praise", {**SMALL, "teacher": {"endpoint": endpoint(url)}})
        assert answer.status_code == 422
        assert "s3cret" not in answer.text
        assert "key_variable" in answer.text


def test_an_endpoint_in_a_network_that_the_settings_name_is_taken(workspace: Workspace) -> None:
    furnish(workspace)
    body = {**SMALL, "teacher": {"endpoint": endpoint("http://127.0.0.1:8000/classify")}}
    with serving(Settings(home=workspace.root, private_networks=("127.0.0.0/8",))) as client:
        assert put(client, "praise", body).status_code == 201
        body["teacher"] = {"endpoint": endpoint("http://10.0.0.1/classify")}
        assert put(client, "praise", body).status_code == 422


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"classes": ["one"]}, "#/classes"),
        ({"clases": ["no", "yes"]}, "#/clases"),
        ({"gate": {"precision": 2}}, "#/gate/precision"),
        ({"corpus": {"files": []}}, "#/corpus/files"),
        ({"corpus": {"files": ["/etc/passwd"]}}, "#/corpus/files/0"),
        ({"corpus": {"files": ["../a.csv", "../../../../etc/*.csv"]}}, "#/corpus/files/1"),
        ({"corpus": {"files": ["*/../../../../etc/passwd"]}}, "#/corpus/files/0"),
        ({"corpus": {"files": ["s3://bucket/a.csv"]}}, "#/corpus/files/0"),
        ({"corpus": {"files": ["file:///etc/passwd"]}}, "#/corpus/files/0"),
        ({"corpus": {"files": ["../link/*.csv"]}}, "#/corpus/files/0"),
        ({"corpus": {"files": ["../inside/*.csv"]}}, "#/corpus/files/0"),
        ({"corpus": {"files": ["a\u0000b.csv"]}}, "#/corpus/files/0"),
        ({"teacher": {"model": "/etc"}}, "#/teacher/model"),
        ({"teacher": {"model": "../../../x"}}, "#/teacher/model"),
        ({"teacher": {"model": "~/bert"}}, "#/teacher/model"),
        ({"teacher": {"model": "http://10.0.0.1/x"}}, "#/teacher/model"),
        ({"teacher": {"model": "../bert", "labels": "/etc/passwd"}}, "#/teacher/labels"),
        ({"teacher": {"answers": ["../inside/*.csv"]}}, "#/teacher/answers/0"),
        ({"teacher": {"answers": ["../bert/*", "../*/../../../etc/*"]}}, "#/teacher/answers/1"),
        ({"gate": {"labels": "/etc/passwd"}}, "#/gate/labels"),
        ({"student": {"transformer": {"checkpoint": "/etc"}}}, "#/student/transformer/checkpoint"),
        ({"watch": {"callback": "http://169.254.169.254/"}}, "#/watch/callback"),
        ({"teacher": {"answers": ["/etc/*.csv"]}}, "#/teacher/answers/0"),
        ({"teacher": {"answers": ["../inside/a.csv", "../inside/*.csv"]}}, "#/teacher/answers/0"),
        ({"teacher": {"answers": ["../a.csv"], "vectors": "/etc"}}, "#/teacher/vectors"),
        ({"teacher": {"endpoint": endpoint("http://127.0.0.1:8000/v1")}}, "#/teacher/endpoint/url"),
        ({"teacher": {"endpoint": endpoint("http://169.254.169.254/")}}, "#/teacher/endpoint/url"),
        ({"teacher": {"endpoint": endpoint("https://[::1]/")}}, "#/teacher/endpoint/url"),
    ],
)
def test_what_is_refused(
    strict: httpx.Client, shared: Workspace, changes: dict[str, Any], pointer: str
) -> None:
    answer = put(strict, "praise", {**SMALL, **changes})
    assert answer.status_code == 422
    assert problem(answer)["errors"][0]["pointer"] == pointer
    assert "praise" not in shared.task_names()


WRONG = """\
classes = ["no", "perhaps"]
depends_on = ["nowhere=yes", "sport=maybe"]
[corpus]
files = ["../corpus.jsonl", "../gone.csv", "../days/*.csv"]
text = "words"
[teacher]
model = "../bert"
max_length = 100
[gate]
labels = "../labels.csv"
"""


def test_all_that_the_command_line_refuses_is_refused_at_once(
    client: httpx.Client, workspace: Workspace
) -> None:
    (workspace.root / "labels.csv").write_text("words,label\na,no\nb,yes\nc,yes\n")
    write_model(workspace.root / "bert", {"id2label": {"0": "n", "1": "y"}, "max_position_embeddings": 64})
    (workspace.root / "bert" / "model.safetensors").unlink()
    source = workspace.root / "praise.toml"
    with pytest.raises(DefinitionError) as caught:
        check_task("praise", parse(WRONG, source), workspace, source)
    expected = [{"pointer": f"#{fault.pointer}", "detail": fault.detail} for fault in caught.value.faults]
    assert [item["pointer"] for item in expected] == [
        "#/corpus/files/0",
        "#/corpus/files/1",
        "#/corpus/files/2",
        "#/gate/labels",
        "#/depends_on/0",
        "#/depends_on/1",
        "#/teacher/model",
        "#/teacher/max_length",
        "#/classes",
    ]
    as_json = json.loads(json.dumps(tomllib.loads(WRONG)))
    for body in (WRONG, as_json):
        for validate_only in (True, False):
            answer = put(client, "praise", body, validate_only=validate_only)
            assert answer.status_code == 422
            assert problem(answer)["type"] == "/problems#invalid-definition"
            assert problem(answer)["errors"] == expected
            assert problem(answer)["detail"].endswith("(and 8 more)")
    assert "praise" not in workspace.task_names()


def test_a_change_that_breaks_a_task_leaves_it_as_it_is(client: httpx.Client, workspace: Workspace) -> None:
    assert put(client, "praise", SMALL).status_code == 201
    before = workspace.task("praise").path.read_bytes()
    answer = put(client, "praise", {**SMALL, "classes": ["no", "maybe"]})
    assert answer.status_code == 422
    (item,) = problem(answer)["errors"]
    assert item["pointer"] == "#/classes"
    assert item["detail"].startswith("no, maybe are not the teacher's labels, no, yes")
    assert workspace.task("praise").path.read_bytes() == before


@pytest.mark.parametrize("model", ["bert-base-chinese", "google-bert/bert-base-chinese", "task:sport"])
def test_teachers_that_are_no_paths(client: httpx.Client, model: str) -> None:
    assert put(client, "praise", {**SMALL, "teacher": {"model": model}}).status_code == 201
    gone = put(client, "praise", {**SMALL, "teacher": {"model": f"{model}/nowhere/at/all"}})
    assert problem(gone)["errors"][0]["pointer"] == "#/teacher/model"


@pytest.mark.parametrize("name", ["A", "a-b", "..", "a%2f..%2fb", "1a", "x" * 64])
def test_names(strict: httpx.Client, shared: Workspace, name: str) -> None:
    before = sorted(shared.root.rglob("*"))
    answer = put(strict, name, SMALL)
    assert answer.status_code in (404, 405, 422)
    problem(answer)
    assert sorted(shared.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 422),
        (b"[]", "application/json", 422),
        (b'{"classes": NaN}', "application/json", 422),
        (b"[" * 100_000, "application/json", 422),
        (b'{"classes": ["\\ud800", "b"]}', "application/json", 422),
        (b"\xff", "application/json", 400),
        (b"classes = [", "application/toml", 422),
        (b"x", "text/plain", 415),
        (b"x", "", 415),
    ],
)
def test_bodies_that_are_none(strict: httpx.Client, body: bytes, content_type: str, status: int) -> None:
    answer = strict.put("/v1/tasks/praise/definition", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    problem(answer)


def test_only_an_admin_changes_definitions(client: httpx.Client, workspace: Workspace) -> None:
    submit = bearer(add_key(workspace.root, "one", Role.SUBMIT))
    answer = client.put("/v1/tasks/praise/definition", json=SMALL, headers=submit)
    assert answer.status_code == 403
    assert client.get("/v1/tasks/sport/definition", headers=submit).status_code == 200


JSON = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


DOCUMENT = st.recursive(
    st.dictionaries(st.text(), JSON), lambda inner: st.dictionaries(st.text(), inner | JSON)
)
# Few names, so that two documents have some in common.
NAMED = st.recursive(
    st.dictionaries(st.sampled_from("abc"), JSON),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | JSON),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENT)
def test_what_is_written_as_toml_is_read_again(document: dict[str, Any]) -> None:
    assert tomllib.loads(write_toml(document)) == document


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NAMED, NAMED, st.booleans())
def test_what_is_written_over_other_toml_is_read_again(
    before: dict[str, Any], document: dict[str, Any], stripped: bool
) -> None:
    over = f"# above\n{write_toml(before)}# below"
    text = write_toml(document, over=over.strip("\n") if stripped else f"{over}\n")
    assert tomllib.loads(text) == document
    assert write_toml(document, over=text) == text


WRITTEN_BY_HAND = """\
# Praise, as the review team means it.
classes = ["no", "yes"]  # the second is the positive one

[corpus]
files = [
  "../corpus.jsonl",  # since 2024
  "../older.jsonl",
]
text = 'title'

# Asked by the nightly job alone.
[teacher]
model = "../bert"
map.yes = "yes"
[retrain]
at = 02:00:00  # after the backup
# end of the file
"""


def test_comments_order_and_form_survive_a_change() -> None:
    document = json.loads(json.dumps(tomllib.loads(WRITTEN_BY_HAND), default=str))
    assert write_toml(document, over=WRITTEN_BY_HAND) == WRITTEN_BY_HAND
    del document["corpus"]["text"]
    document["classes"] = ["n", "y"]
    document["priority"] = 3
    document["corpus"]["id"] = "key"
    document["teacher"]["map"] = {"yes": "y", "*": "n"}
    document["scenes"] = {"live": {"precision": 0.97}}
    text = WRITTEN_BY_HAND.replace('["no", "yes"]  #', '["n", "y"]  #')
    text = text.replace("one\n\n[corpus]", "one\npriority = 3\n\n[corpus]")
    text = text.replace("text = 'title'\n", 'id = "key"\n')
    text = text.replace('map.yes = "yes"\n', 'map.yes = "y"\nmap."*" = "n"\n')
    text += "\n[scenes.live]\nprecision = 0.97\n"
    assert write_toml(document, over=WRITTEN_BY_HAND) == text


@pytest.mark.parametrize(
    "over", ["classes = [", "a = 1\na = 2", "\ufeff\0", "[a]\n[a.b]\n[c]\n[a.d]\nx = 1\n"]
)
def test_over_what_cannot_be_changed_it_is_written_anew(over: str) -> None:
    assert tomllib.loads(write_toml({"a": {"b": 1}, "d": 2}, over=over)) == {"a": {"b": 1}, "d": 2}


def test_a_definition_as_json_keeps_the_comments_of_the_file(
    client: httpx.Client, workspace: Workspace
) -> None:
    body = {**SMALL, "priority": 4}
    assert put(client, "praise", "# by hand\nclasses = ['no', 'yes'] # two\n" + PLACES).status_code == 201
    assert put(client, "praise", body).status_code == 200
    path = workspace.task("praise").path
    assert path.read_text() == "# by hand\nclasses = ['no', 'yes'] # two\npriority = 4\n" + PLACES
    path.write_text("damaged")
    assert put(client, "praise", body).status_code == 200
    assert workspace.task("praise").definition.priority == 4


PLACES = '[corpus]\nfiles = ["../corpus.jsonl"]\n[teacher]\nmodel = "../bert"\n'


def test_toml_has_no_null_no_objects_in_arrays_and_no_infinity() -> None:
    assert write_toml({"a": None, "b": 1}) == "b = 1\n"
    for item in ({"b": 1}, None):
        with pytest.raises(ValueError, match="array"):
            write_toml({"a": [item]})
    for number in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="number"):
            write_toml({"a": [number]})
    assert json.loads(json.dumps(tomllib.loads(write_toml({"a": {"b": {}}})))) == {"a": {"b": {}}}


_HEAD = 'classes = ["no", "yes"]\n[corpus]\nfiles = ["../corpus.jsonl"]\n[teacher]\nmodel = "../bert"\n'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (_HEAD + "x = " + "[" * 500 + "]" * 500, "nested more than 32 deep"),
        (_HEAD + "x = " + "{a = " * 500 + "1" + "}" * 500, "nested more than 32 deep"),
        (_HEAD + "x = " + "1" * 5000, "longer than 128 characters"),
        (_HEAD + "x = 0x" + "f" * 50_000, "longer than 128 characters"),
        (_HEAD + "a" + ".a" * 100_000 + " = 1", "a key has more than 32 parts"),
        (_HEAD + "a" + ".a" * 250_000 + " = 1", "500,0.. bytes; allowed are 262,144"),
        (_HEAD + '"a"' + ' . "a"' * 20_000 + " = 1", "a key has more than 32 parts"),
        (_HEAD + "[a" + ".a" * 20_000 + "]", "a key has more than 32 parts"),
        (_HEAD + "[rules]\ndrop = [" + '"a",' * 20_000 + "]", "more than 5,000 values"),
        (
            _HEAD + "[teacher.map]\n" + "".join(f'a{n} = "yes"\n' for n in range(6000)),
            "more than 5,000 values",
        ),
        ({**SMALL, "rules": {"drop": ["a"] * 20_000}}, "more than 5,000 values"),
        ({**SMALL, "gate": {"rounds": 10**4000}}, "longer than 128 characters"),
    ],
    ids=range(12),
)
def test_what_no_person_writes_is_refused_before_it_is_parsed(
    strict: httpx.Client, body: Any, words: str
) -> None:
    answer = put(strict, "huge", body, validate_only=True)
    assert answer.status_code == 422, answer.text[:300]
    assert re.search(words, problem(answer)["detail"])
    assert answer.elapsed.total_seconds() < 5


def test_deep_json_is_refused(strict: httpx.Client) -> None:
    for body in (b"[" * 500 + b"]" * 500, b'{"a":' * 500, b'{"rules": ' + b"[" * 200_000):
        path, headers = "/v1/tasks/deep/definition", {"Content-Type": "application/json"}
        answer = strict.put(path, content=body, headers=headers)
        assert answer.status_code == 422
        assert "nested more than 32 deep" in problem(answer)["detail"]


def test_brackets_dots_and_long_words_in_strings_and_comments_count_for_nothing(
    strict: httpx.Client, shared: Workspace
) -> None:
    long = "[" * 60 + "." * 60 + "a" * 200 + "{" * 60
    (shared.root / "long.jsonl").write_text(json.dumps({long: "a", f"{long}\n{long}": "1"}))
    body = (
        f'# {long}\nclasses = ["no", "{long}"]\n[corpus]\nfiles = ["../long.jsonl"]\n'
        f'text = \'{long}\'\nid = """\n{long}\n{long}"""\n'
        '[rules]\ndrop = ["' + "\\\\[" * 60 + '\\""]\n[teacher]\nmodel = "of-the-hub"\n'
    )
    answer = put(strict, "strings", body, validate_only=True)
    assert answer.status_code == 204, answer.text
