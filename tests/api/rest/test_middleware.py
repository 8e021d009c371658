"""Keys, hosts, origins, body sizes and the headers of every answer."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from api.rest import middleware
from queue_worker.settings import Settings
from tests.support.rest import problem, serving

KEY = "gr\u00fcn-2026"  # not ASCII: compared as bytes


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="module")
def locked(home: Path) -> Iterator[httpx.Client]:
    with serving(Settings(home=home, api_key=KEY)) as client:
        yield client


@pytest.fixture(scope="module")
def unlocked(home: Path) -> Iterator[httpx.Client]:
    with serving(Settings(home=home)) as client:
        yield client


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer gr\xc3\xbcn-202",
        b"Bearer gr\xc3\xbcn-20266",
        b"Bearer gr\xfcn-2026",
        b"Basic gr\xc3\xbcn-2026",
        b"gr\xc3\xbcn-2026",
    ],
)
def test_v1_asks_for_the_key(locked: httpx.Client, authorization: bytes | None) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization}
    for path in ("/v1/tasks", "/v1/nothing"):
        answer = locked.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert KEY not in str(problem(answer))


def test_the_key_opens_v1(locked: httpx.Client) -> None:
    for scheme in ("Bearer", "bearer"):
        answer = locked.get("/v1/tasks", headers={b"Authorization": f"{scheme} {KEY}".encode()})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"


def test_nothing_behind_bearer_is_no_key(home: Path) -> None:
    """Not even where an empty key came past the settings."""
    settings = Settings(home=home).model_copy(update={"api_key": SecretStr("")})
    with serving(settings) as client:
        for authorization in ("Bearer", ""):
            assert client.get("/v1/me", headers={"Authorization": authorization}).status_code == 401


def test_a_key_may_end_in_a_byte_that_looks_like_a_space(home: Path) -> None:
    with serving(Settings(home=home, api_key="voil\u00e0")) as client:  # its last byte is A0
        headers = {b"Authorization": "Bearer voil\u00e0".encode()}
        assert client.get("/v1/me", headers=headers).status_code == 200


def test_pages_and_health_need_no_key(locked: httpx.Client) -> None:
    for path in ("/", "/docs", "/problems", "/openapi.json", "/healthz", "/static/pingti.css"):
        assert locked.get(path).status_code == 200


def test_nothing_is_read_before_the_key_is_known(locked: httpx.Client, home: Path) -> None:
    answer = locked.post("/v1/files", files={"file": ("a.csv", b"text\nx\n")})
    assert answer.status_code == 401
    assert not (home / "uploads").exists()


def test_a_foreign_name_for_this_machine_is_refused_without_a_key(unlocked: httpx.Client) -> None:
    answer = unlocked.get("/v1/tasks", headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert "evil.example" in problem(answer)["detail"]
    for host in ("localhost", "127.0.0.1:1234", "[::1]:80"):
        assert unlocked.get("/v1/tasks", headers={"Host": host}).status_code == 200


def test_with_a_key_any_name_is_answered(locked: httpx.Client) -> None:
    headers = {b"Authorization": f"Bearer {KEY}".encode(), b"Host": b"pingti.example"}
    assert locked.get("/v1/tasks", headers=headers).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://["])
def test_pages_of_other_sites_change_nothing(unlocked: httpx.Client, origin: str) -> None:
    answer = unlocked.post("/v1/jobs/job-1/cancel", headers={"Origin": origin})
    assert answer.status_code == 403
    problem(answer)


def test_the_own_page_may(unlocked: httpx.Client) -> None:
    origin = str(unlocked.base_url).rstrip("/")
    answer = unlocked.post("/v1/jobs/job-1/cancel", headers={"Origin": origin})
    assert answer.status_code == 503  # past the guard; there is no broker in this test


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_has_its_limit(
    unlocked: httpx.Client, monkeypatch: pytest.MonkeyPatch, declared: bool
) -> None:
    monkeypatch.setattr(middleware, "MAX_BODY_BYTES", 1000)
    body = b'{"inputs": ["' + b"a" * 2000 + b'"]}'
    content = body if declared else iter([body])
    answer = unlocked.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "1,000 bytes" in problem(answer)["detail"]


def test_every_answer_carries_the_policy(unlocked: httpx.Client) -> None:
    for path in ("/", "/v1/tasks", "/nothing", "/static/pingti.js"):
        headers = unlocked.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
