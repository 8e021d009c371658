"""What an attacker tries at the door: each way is tried, and each is refused without harm.

Keys and guessing are in test_api_keys, addresses in test_queue_outbound, definitions in
test_api_definitions; here are paths, bodies, packed files and headers.
"""

import gzip
import resource
import shutil
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pingti.corpus import formats
from pingti.corpus.reader import Columns, check_input, read_rows
from pingti.errors import InputError
from queue_worker.settings import Settings
from tests.support.rest import Door, home, idle, problem, running, serving, until_ended, upload

__all__ = ["home", "idle", "running"]  # fixtures


@pytest.fixture(scope="module")
def client(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("security") / "workspace"
    shutil.copytree(_workspace_template, root)
    with serving(Settings(home=root)) as client:
        yield client


def raw(client: httpx.Client, request: bytes) -> bytes:
    """The start of the answer to bytes that no client library would send."""
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as connection:
        connection.sendall(request)
        return connection.recv(65536)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../pyproject.toml",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static/..%2f..%2fpyproject.toml",
        "/static//etc/passwd",
        "/v1/files/..%2f..%2fkeys.json/content",
        "/v1/files/file-0000000000000000000000%2f..%2f..%2fkeys.json/content",
        "/v1/tasks/..%2f..%2f/versions/1/report",
        "/v1/tasks/sport/versions/..%2f1/report.html",
        "/v1/jobs/..%2f..%2f/results",
    ],
)
def test_paths_lead_nowhere_else(client: httpx.Client, path: str) -> None:
    host = f"{client.base_url.host}:{client.base_url.port}"
    answer = raw(client, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    status = int(answer.split()[1])
    assert status in (400, 404, 405, 422, 503), answer[:200]
    assert b"root:" not in answer
    assert b"[project]" not in answer


@pytest.mark.broker
@pytest.mark.parametrize(
    "given",
    [
        "/etc/passwd",
        "../outside.csv",
        "uploads/../../outside.csv",
        "link.csv",
        "folder/outside.csv",
        "tasks",
        "a\u0000.csv",
        "file:///etc/passwd",
        "s3://bucket/a.csv",
        "http://169.254.169.254/latest/a.csv",
        "https://[::1]/a.csv",
        "memory://a.csv",
        "simplecache::http://127.0.0.1/a.csv",
    ],
)
def test_inputs_come_from_the_allowed_folders_alone(idle: Door, given: str) -> None:
    home = idle.settings.home
    outside = home.parent / "outside.csv"
    outside.write_text("text\nx\n")
    (home / "link.csv").symlink_to(outside)
    (home / "folder").symlink_to(home.parent)
    answer = idle.client.post("/v1/jobs", json={"inputs": [given], "tasks": ["sport"]})
    assert answer.status_code == 422
    assert problem(answer)["errors"][0]["pointer"] == "#/inputs/0"
    assert idle.client.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    "header",
    [
        b"X-A: b\r\nContent-Length: 5\r\nContent-Length: 6",
        b"Content-Length: -1",
        b"Content-Length: 1e3",
        b"Transfer-Encoding: chunked, identity",
        b"X A: b",
        b"Host: evil.example",
    ],
)
def test_requests_that_two_servers_would_read_differently(client: httpx.Client, header: bytes) -> None:
    answer = raw(client, b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n")
    assert answer.split()[1] == b"400", answer[:200]


def test_nothing_of_a_caller_becomes_a_header(client: httpx.Client) -> None:
    name = "a\r\nSet-Cookie: x=1\r\n\r\n.csv"
    body = (
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a%0d%0aSet-Cookie: x=1.csv"\r\n\r\n'
        b"text\nx\n\r\n--B--\r\n"
    )
    uploaded = client.post(
        "/v1/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=B"}
    )
    assert uploaded.status_code == 201
    for answer in (
        client.get(uploaded.headers["location"] + "/content"),
        client.get("/v1/files", params={"cursor": name}),
        client.get("/v1/tasks/a%0d%0aSet-Cookie:%20x=1"),
        client.get("/v1/tasks", headers={"Origin": "http://a%0d%0aSet-Cookie: x=1"}),
    ):
        assert "set-cookie" not in answer.headers
        assert "\n" not in "".join(answer.headers.values())


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/classify", "/v1/tasks/sport/labels"])
def test_a_body_without_an_end_is_cut_off_at_the_limit(client: httpx.Client, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    # Twenty chunks are more than the limit; there is no last one.
    answer = raw(client, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * 20)
    assert answer.split()[1] == b"413", answer[:200]
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("depth", [1000, 200_000])
def test_deep_json_is_refused(client: httpx.Client, depth: int) -> None:
    for path, shape in (("/v1/jobs", '{"inputs": %s}'), ("/v1/classify", '{"texts": %s}')):
        body = shape % ("[" * depth + "]" * depth)
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422)
        problem(answer)


def bomb(megabytes: int, line: bytes = b"x" * 99 + b"\n") -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    block = line * (1_000_000 // len(line))
    return (
        packer.compress(b"text\n")
        + b"".join(packer.compress(block) for _ in range(megabytes))
        + packer.flush()
    )


def test_a_bomb_is_noticed_while_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "_UNCHECKED_BYTES", 1 << 20)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(bomb(5))
    seen = 0
    with pytest.raises(InputError, match="more than 200 times its size"):
        for batch in read_rows(str(path), Columns(text="text"), lambda bad: None):
            seen += batch.num_rows
    assert seen < 40_000  # of 50,000
    honest = tmp_path / "b.csv.gz"
    honest.write_bytes(gzip.compress(b"text\n" + b"".join(b"row %d\n" % n for n in range(200_000))))
    rows = sum(batch.num_rows for batch in read_rows(str(honest), Columns(text="text"), lambda bad: None))
    assert rows == 200_000


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz"])
def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path, name: str) -> None:
    content = b'{"text": "' + b"x" * (40 << 20)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, 1) if name.endswith("gz") else content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="a line is longer than 16,777,216 bytes"):
        check_input(str(path), Columns(text="text"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.broker
def test_a_bomb_fails_its_job_with_a_sentence(running: Door) -> None:
    path = running.upload("bomb.csv.gz", bomb(300, b"x" * 99_999 + b"\n"))
    answer = running.client.post("/v1/jobs", json={"inputs": [path], "tasks": ["sport"]})
    assert answer.status_code == 202
    job = until_ended(running, answer.headers["location"])
    assert job["status"] == "failed"
    assert "200 times its size" in job["error"]


def test_a_bomb_in_a_line_is_refused_at_the_door(client: httpx.Client) -> None:
    uploaded = upload(client, "a.jsonl.gz", bomb(40, line=b"x" * 1000))
    assert uploaded.status_code == 201
    body = {"inputs": [uploaded.json()["id"]], "tasks": ["sport"]}
    answer = client.post("/v1/jobs", params={"validate_only": True}, json=body)
    assert answer.status_code == 422
    assert "longer than" in problem(answer)["detail"]
