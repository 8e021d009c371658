"""Uploads: what arrives is what is stored, in bounded memory and within the limits."""

import errno
import gzip
import hashlib
import io
import os
import re
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.keys import Role, add_key
from api.rest.problems import ProblemError
from api.rest.uploads import ENDINGS, RECORD, Upload, Uploads, file_name
from queue_worker.settings import Settings
from tests.support.rest import bearer, problem, serving, upload

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
    # os.walk passes over a folder that the server removes meanwhile; rglob raises.
    folders = os.walk(home / "uploads")
    return [Path(folder) / name for folder, _, names in folders for name in names if name != RECORD]


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
    chunk = bytes(range(1, 256)) * 1024
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


@settings(deadline=None)  # each of them waits for the disk
@given(st.binary(min_size=1, max_size=2000), st.lists(st.integers(1, 400), max_size=20))
def test_the_packets_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cuts: list[int]
) -> None:
    if b"\r\n--B" in content:
        return
    body = part("file", "a.csv", content) + END
    upload = Upload(Uploads(tmp_path_factory.mktemp("upload")), b"B", limit=10_000, owner="o")
    for cut in cuts:
        upload.feed(body[:cut])
        body = body[cut:]
    upload.feed(body)
    try:
        answer = upload.finish()
    except ProblemError as error:
        assert re.search("NUL|looks like", str(error))  # noqa: PT017
        return
    assert Path(answer.path).read_bytes() == content
    assert answer.sha256 == hashlib.sha256(content).hexdigest()
    assert answer.bytes == len(content)


def test_files_are_listed_by_pages_looked_at_and_deleted(client: httpx.Client, tmp_path: Path) -> None:
    answers = [upload(client, f"{n}.csv", b"text\n%d\n" % n) for n in range(5)]
    files = [answer.json() for answer in answers]
    assert [answer.headers["location"] for answer in answers] == [f"/v1/files/{file['id']}" for file in files]
    (tmp_path / "uploads" / "file-0000000000000000000000").mkdir()  # an upload that broke off
    listed: list[object] = []
    cursor = None
    while True:
        page = client.get("/v1/files", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert len(page["items"]) <= 2
        listed += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert listed == files[::-1]
    one = f"/v1/files/{files[2]['id']}"
    assert client.get(one).json() == files[2]
    assert client.delete(one).status_code == 204
    assert not Path(files[2]["path"]).parent.exists()
    for method, path in (("GET", one), ("DELETE", one), ("GET", one + "/content"), ("GET", "/v1/files/..")):
        answer = client.request(method, path)
        assert answer.status_code == 404
        problem(answer)
    # The document's patterns are ECMA's, where \w is ASCII.
    assert client.get("/v1/files", params={"cursor": "Þ"}).status_code == 422
    assert client.get("/v1/jobs", params={"cursor": "Þ"}).status_code == 422


def test_downloads_whole_and_by_range(client: httpx.Client) -> None:
    content = b"text\n" + bytes(range(32, 127)) * 100
    file = upload(client, "标题.csv", content).json()
    path = f"/v1/files/{file['id']}/content"
    whole = client.get(path)
    assert whole.content == content
    assert whole.headers["etag"] == f'"{file["sha256"]}"'
    assert "filename*=utf-8''%E6%A0%87%E9%A2%98.csv" in whole.headers["content-disposition"]
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(content))
    end = len(content)
    for asked, status, piece in [
        ("bytes=0-9", 206, content[:10]),
        (f"bytes={end - 5}-", 206, content[-5:]),
        ("bytes=-7", 206, content[-7:]),
        (f"bytes=5-{end * 2}", 206, content[5:]),
        ("bytes=9-5", 200, content),  # cannot be read: ignored
        ("bytes=0-1,4-5", 200, content),
        ("lines=1-2", 200, content),
    ]:
        answer = client.get(path, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (status, piece), asked
    for asked in (f"bytes={end}-", "bytes=-0"):
        answer = client.get(path, headers={"Range": asked})
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{end}"
        problem(answer)
    same = {"Range": "bytes=0-3", "If-Range": whole.headers["etag"]}
    assert client.get(path, headers=same).status_code == 206
    assert client.get(path, headers={**same, "If-Range": '"another"'}).content == content


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.parquet", b"text\nno parquet\n", "not a readable Parquet file"),
        ("a.parquet", b"PAR1" + b"x" * 100 + b"PAR1", "not a readable Parquet file"),
        ("a.csv.gz", b"text\nno gzip\n", "not a gzip file"),
        ("a.jsonl.gz", gzip.compress(b"x")[:2] + b"\xff" * 40, "not a gzip file"),
        ("a.csv", gzip.compress(b"text\nx\n", mtime=0), "looks like a gzip file"),
        ("a.csv.gz", gzip.compress(b"PK\x03\x04 a workbook", mtime=0), "looks like a zip archive"),
        ("a.csv", b"text\na\0b\n", "NUL characters; needed is text"),
    ],
)
def test_content_that_is_not_what_the_name_says(
    client: httpx.Client, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    answer = upload(client, name, content)
    assert answer.status_code == 422
    detail = problem(answer)["detail"]
    assert words in detail
    assert str(tmp_path) not in detail
    assert stored(tmp_path) == []


def test_a_full_disk_is_told_and_leaves_nothing(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("pingti.files.os.fsync", full)
        answer = upload(client, "a.csv", b"text\nx\n")
    assert answer.status_code == 507
    assert problem(answer)["type"] == "/problems#no-space"
    assert stored(tmp_path) == []
    with serving(Settings(home=tmp_path), upload_bytes=1 << 62) as large:
        # Refused by what it says, before a byte of it is sent.
        url = large.base_url
        with socket.create_connection((url.host, url.port)) as connection:
            head = f"POST /v1/files HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: {FORM}\r\n"
            connection.sendall(f"{head}Content-Length: {1 << 61}\r\n\r\n".encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 507 ")
    assert upload(client, "a.csv", b"text\nx\n").status_code == 201


def test_a_key_has_room_for_so_many_bytes_and_deletes_its_own(tmp_path: Path) -> None:
    one, other = (bearer(add_key(tmp_path, name, Role.SUBMIT)) for name in ("one", "other"))
    admin = bearer(add_key(tmp_path, "boss", Role.ADMIN))
    with serving(Settings(home=tmp_path, key_bytes=1000)) as client:
        first = upload(client, "a.csv", b"x" * 600, **one)
        assert first.json()["owner"] == "one"
        second = upload(client, "a.csv", b"x" * 600, **one)
        assert second.status_code == 429
        assert second.headers["retry-after"]
        assert "1,000" in problem(second)["detail"]
        unsized = client.post(
            "/v1/files",
            content=iter([part("file", "a.csv", b"x" * 600) + END]),
            headers={"Content-Type": FORM, **one},
        )
        assert unsized.status_code == 413
        assert upload(client, "a.csv", b"x" * 600, **other).status_code == 201
        path = first.headers["location"]
        assert client.delete(path, headers=other).status_code == 403
        assert client.delete(path, headers=one).status_code == 204
        again = upload(client, "a.csv", b"x" * 600, **one)
        assert again.status_code == 201
        assert client.delete(again.headers["location"], headers=admin).status_code == 204


@pytest.mark.parametrize("name", [b"zz\xff\xfe", b"\xc3\x28zz", b"\xed\xa0\x80z"])
def test_a_column_whose_name_is_not_utf_8_is_refused(client: httpx.Client, name: bytes) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "zzzz": ["b"]}), sink)
    answer = upload(client, "a.parquet", sink.getvalue().replace(b"zzzz", name))
    assert answer.status_code == 422, answer.text
    assert problem(answer)["errors"][0]["pointer"] == "#/file"


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.csv", b"key,text\n1,a text\n", ["key", "text"]),
        ("a.csv", "编号;正文\n1;一句\n".encode(), ["编号", "正文"]),
        ("a.tsv.gz", gzip.compress(b"post\tseen\nx\ty\n", mtime=0), ["post", "seen"]),
        ("a.jsonl", b'\n{"id": 1, "title": "x"}\n', ["id", "title"]),
        ("a.parquet", None, ["n", "words"]),
    ],
)
def test_the_columns_of_a_file_are_told_by_its_header(
    client: httpx.Client, tmp_path: Path, name: str, content: bytes | None, columns: list[str]
) -> None:
    if content is None:
        sink = io.BytesIO()
        pq.write_table(pa.table({"n": [1], "words": ["x"]}), sink)
        content = sink.getvalue()
    stored_file = upload(client, name, content).json()
    for reference in (stored_file["id"], stored_file["path"]):
        answer = client.post("/v1/columns", json={"input": reference})
        assert answer.json() == {"input": stored_file["path"], "columns": columns}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/etc/passwd", "is not a file below an allowed folder"),
        ("gone.csv", "gone.csv"),
        ("https://files.example/a.csv", "a job fetches it"),
        ("empty.csv", "empty"),
    ],
)
def test_a_file_whose_columns_cannot_be_told_is_refused_with_its_place(
    client: httpx.Client, tmp_path: Path, given: str, words: str
) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    document = problem(client.post("/v1/columns", json={"input": given}))
    assert document["status"] == 422
    assert document["errors"][0]["pointer"] == "#/input"
    assert words in document["errors"][0]["detail"]


def test_a_key_that_may_only_read_looks_into_no_file(tmp_path: Path) -> None:
    with serving(Settings(home=tmp_path)) as client:
        reader, submitter = (
            add_key(tmp_path, name, role) for name, role in (("r", Role.READ), ("s", Role.SUBMIT))
        )
        (tmp_path / "a.csv").write_text("text\nx\n")
        body = {"input": "a.csv"}
        assert client.post("/v1/columns", json=body, headers=bearer(reader)).status_code == 403
        allowed = client.post("/v1/columns", json=body, headers=bearer(submitter))
        assert allowed.json()["columns"] == ["text"]
