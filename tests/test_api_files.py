"""Uploads: what arrives is what is stored, in bounded memory and within the limits."""

import hashlib
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_api_problems import problem
from test_api_server import serving

from api.problems import ProblemError
from api.routes_files import ENDINGS, Upload, file_name
from queue_worker.settings import Settings

LIMIT = 64 * 1024 * 1024
FORM = "multipart/form-data; boundary=B"
END = b"--B--\r\n"


def part(name: str, filename: str, content: bytes) -> bytes:
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
    return head.encode() + content + b"\r\n"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    with serving(Settings(home=tmp_path), upload_bytes=LIMIT) as client:
        yield client


def stored(home: Path) -> list[Path]:
    return [path for path in (home / "uploads").rglob("*") if path.is_file()]


def test_an_upload_is_stored_as_it_came(client: httpx.Client, tmp_path: Path) -> None:
    content = "text\n题目\r\n--x\r\n".encode()
    answer = client.post("/v1/files", data={"note": "ignored"}, files={"file": ("标题 1.csv", content)})
    assert answer.status_code == 201
    body = answer.json()
    assert body["name"] == "标题_1.csv"
    assert body["bytes"] == len(content)
    assert body["sha256"] == hashlib.sha256(content).hexdigest()
    assert Path(body["path"]).read_bytes() == content
    assert stored(tmp_path) == [Path(body["path"])]


def test_two_files_of_one_name_do_not_meet(client: httpx.Client, tmp_path: Path) -> None:
    paths = {client.post("/v1/files", files={"file": ("a.csv", b"x")}).json()["path"] for _ in range(2)}
    assert set(stored(tmp_path)) == {Path(path) for path in paths}
    assert len(paths) == 2


def test_memory_stays_bounded(client: httpx.Client) -> None:
    chunk = bytes(range(256)) * 1024
    count = 192  # 48 MiB

    def body() -> Iterator[bytes]:
        yield part("file", "a.csv", b"").removesuffix(b"\r\n")
        for _ in range(count):
            yield chunk
        yield b"\r\n" + END

    tracemalloc.start()
    try:
        answer = client.post("/v1/files", content=body(), headers={"Content-Type": FORM})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.json()["bytes"] == count * len(chunk)
    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize("declared", [True, False])
def test_the_limit_leaves_nothing_behind(tmp_path: Path, declared: bool) -> None:
    body = part("file", "a.csv", b"x" * 1001) + END
    with serving(Settings(home=tmp_path), upload_bytes=1000) as client:
        answer = client.post(
            "/v1/files",
            content=body if declared else iter([body]),
            headers={"Content-Type": FORM},
        )
        assert answer.status_code == 413
        assert "1,000 bytes" in problem(answer)["detail"]
        exact = client.post("/v1/files", files={"file": ("a.csv", b"x" * 1000)})
        assert exact.status_code == 201
    assert [path.stat().st_size for path in stored(tmp_path)] == [1000]


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/csv", b"text\n", 415),
        ("multipart/form-data", END, 415),
        ("multipart/form-data; boundary=" + "b" * 300, b"", 400),
        (FORM, b"", 400),
        (FORM, b"no multipart at all", 400),
        (FORM, part("file", "a.csv", b"x"), 400),  # no closing boundary
        (FORM, END, 422),
        (FORM, part("note", "a.csv", b"x") + END, 422),
        (FORM, part("file", "a.csv", b"") + END, 422),
        (FORM, part("file", "a.exe", b"x") + END, 422),
        (FORM, part("file", "a.csv", b"x") * 2 + END, 422),
    ],
)
def test_a_wrong_body_is_refused_and_leaves_nothing(
    client: httpx.Client, tmp_path: Path, content_type: str, body: bytes, status: int
) -> None:
    answer = client.post("/v1/files", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == status
    problem(answer)
    assert stored(tmp_path) == []


def test_an_upload_that_breaks_off_leaves_nothing(client: httpx.Client, tmp_path: Path) -> None:
    class Gone(Exception):
        pass

    def body() -> Iterator[bytes]:
        yield part("file", "a.csv", b"").removesuffix(b"\r\n")
        yield b"x" * 3_000_000
        raise Gone

    with pytest.raises(Gone):
        client.post("/v1/files", content=body(), headers={"Content-Type": FORM})
    # The next request is answered, and by the end of the server nothing is left.
    assert client.get("/healthz").status_code == 200
    for _ in range(100):
        if not stored(tmp_path):
            break
        client.get("/healthz")
    assert stored(tmp_path) == []


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("titles.csv", "titles.csv"),
        ("../../etc/passwd.csv", "passwd.csv"),
        ("C:\\data\\a.TSV.GZ", "a.tsv.gz"),
        ("..csv.jsonl", "csv.jsonl"),
        ("a\r\nb;c.parquet", "a_b_c.parquet"),
    ],
)
def test_names(given_name: str, name: str) -> None:
    assert file_name(given_name) == name


@pytest.mark.parametrize("given_name", ["", "csv", ".csv", "a.csv.zip", "a.gz", "a.csv/"])
def test_names_that_are_no_input(given_name: str) -> None:
    with pytest.raises(ProblemError, match="must end in one of"):
        file_name(given_name)


@settings(max_examples=50)
@given(st.text(max_size=300), st.sampled_from(ENDINGS))
def test_a_stored_name_is_always_one_safe_part(stem: str, ending: str) -> None:
    try:
        name = file_name(stem + ending)
    except ProblemError:
        return
    assert name.endswith(ending)
    assert Path(name).name == name
    assert not name.startswith(".")
    assert len(name.encode()) < 200
    assert all(char.isprintable() for char in name)


@given(st.binary(min_size=1, max_size=2000), st.lists(st.integers(1, 400), max_size=20))
def test_the_packets_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("upload") / "one"
    if b"\r\n--B" in content:
        return
    body = part("file", "a.csv", content) + END
    upload = Upload(folder, b"B", 10_000)
    for cut in cuts:
        upload.feed(body[:cut])
        body = body[cut:]
    upload.feed(body)
    answer = upload.finish()
    assert Path(answer.path).read_bytes() == content
    assert answer.sha256 == hashlib.sha256(content).hexdigest()
    assert json.loads(answer.model_dump_json())["bytes"] == len(content)
