"""Keys: what is stored, who may do what, and what a guesser meets."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import httpx
import pytest

from api.keys import FILE, KeyRing, Role, add_key, list_keys, revoke_key
from api.rest.middleware import Guesses, needed_role
from api.rest.server import listen
from pingti.errors import ArtifactError, ConflictError, InputError, NotFoundError
from queue_worker.settings import Settings
from tests.support.rest import bearer, problem, serving


@pytest.fixture
def tokens(tmp_path: Path) -> dict[Role, str]:
    return {role: add_key(tmp_path, f"the-{role}", role) for role in Role}


@pytest.fixture
def client(tmp_path: Path, tokens: dict[Role, str]) -> Iterator[httpx.Client]:
    with serving(Settings(home=tmp_path)) as client:
        yield client


def test_a_token_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    token = add_key(tmp_path, "nightly", Role.SUBMIT)
    assert len(token) > 43  # 256 bits
    assert token not in (tmp_path / FILE).read_text()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    (key,) = list_keys(tmp_path)
    assert (key.name, key.role) == ("nightly", Role.SUBMIT)
    assert add_key(tmp_path, "other", Role.READ) != token


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a/b", "x" * 64, "local", "settings", "é"])
def test_names_of_keys(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a name"):
        add_key(tmp_path, name, Role.READ)


def test_a_name_is_taken_once_and_revoked_once(tmp_path: Path) -> None:
    add_key(tmp_path, "a", Role.READ)
    with pytest.raises(ConflictError, match="there already"):
        add_key(tmp_path, "a", Role.READ)
    revoke_key(tmp_path, "a")
    assert list_keys(tmp_path) == []
    with pytest.raises(NotFoundError, match="none of that name"):
        revoke_key(tmp_path, "a")


def test_keys_made_at_once_are_all_there(tmp_path: Path) -> None:
    threads = [Thread(target=add_key, args=(tmp_path, f"k{i}", Role.READ)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key.name for key in list_keys(tmp_path)) == [f"k{i}" for i in range(8)]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "keys": []}', '{"format": 1, "keys": [{"name": "a"}]}']
)
def test_a_damaged_file_lets_nobody_in(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ArtifactError):
        list_keys(tmp_path)
    with serving(Settings(home=tmp_path, api_key="k")) as client:
        answer = client.get("/v1/tasks", headers=bearer("k"))
        assert answer.status_code == 500
        assert problem(answer)["type"] == "/problems#damaged-artifact"


def test_roles(client: httpx.Client, tokens: dict[Role, str]) -> None:
    asked = [
        ("GET", "/v1/tasks", Role.READ),
        ("POST", "/v1/jobs", Role.SUBMIT),
        ("DELETE", "/v1/files/file-0", Role.SUBMIT),
        ("POST", "/v1/tasks/sport/labels", Role.SUBMIT),
        ("PUT", "/v1/tasks/sport", Role.ADMIN),
        ("POST", "/v1/tasks/sport/promote", Role.ADMIN),
        ("POST", "/v1/anything/new", Role.ADMIN),
    ]
    for method, path, needed in asked:
        assert needed_role(method, path) is needed
        for role, token in tokens.items():
            answer = client.request(method, path, headers=bearer(token))
            if role.allows(needed):
                assert answer.status_code not in (401, 403), (method, path, role)
            else:
                assert answer.status_code == 403
                assert f"needs {needed}" in problem(answer)["detail"]


def test_a_key_ends_and_another_begins_while_the_server_runs(
    client: httpx.Client, tmp_path: Path, tokens: dict[Role, str]
) -> None:
    assert client.get("/v1/tasks").status_code == 401
    assert client.get("/v1/tasks", headers=bearer(tokens[Role.READ])).status_code == 200
    revoke_key(tmp_path, "the-read")
    assert client.get("/v1/tasks", headers=bearer(tokens[Role.READ])).status_code == 401
    fresh = add_key(tmp_path, "fresh", Role.READ)
    assert client.get("/v1/tasks", headers=bearer(fresh)).status_code == 200


def test_the_first_key_closes_an_open_server(tmp_path: Path) -> None:
    with serving(Settings(home=tmp_path)) as client:
        assert client.get("/v1/tasks").status_code == 200
        add_key(tmp_path, "first", Role.READ)
        assert client.get("/v1/tasks").status_code == 401


def test_a_server_for_everybody_stays_closed_when_its_last_key_is_revoked(tmp_path: Path) -> None:
    token = add_key(tmp_path, "only", Role.ADMIN)
    settings = Settings(home=tmp_path, host="0.0.0.0", port=0)
    listen(settings).close()  # a stored key is enough to listen there
    with serving(settings) as client:
        assert client.get("/v1/tasks", headers=bearer(token)).status_code == 200
        revoke_key(tmp_path, "only")
        assert client.get("/v1/tasks").status_code == 401
        assert client.get("/v1/tasks", headers=bearer(token)).status_code == 401


def test_guessing_is_slowed_down_and_long_keys_are_not(client: httpx.Client, tokens: dict[Role, str]) -> None:
    for number in range(Guesses.FREE):
        assert client.get("/v1/tasks", headers=bearer(f"guess-{number}")).status_code == 401
    slowed = client.get("/v1/tasks", headers=bearer("guess"))
    assert slowed.status_code == 429
    assert int(slowed.headers["retry-after"]) >= 1
    problem(slowed)
    # Who guesses behind the same proxy shuts nobody else out.
    assert client.get("/v1/tasks", headers=bearer(tokens[Role.READ])).status_code == 200
    assert client.get("/v1/tasks", headers=bearer("guess")).status_code == 429
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(("key", "status"), [("x" * 15, 429), ("x" * 16, 200)])
def test_a_short_key_is_not_found_while_guesses_are_slowed_down(
    tmp_path: Path, key: str, status: int
) -> None:
    with serving(Settings(home=tmp_path, api_key=key)) as client:
        assert client.get("/v1/me", headers=bearer(key)).status_code == 200
        for number in range(Guesses.FREE):
            client.get("/v1/me", headers=bearer(f"guess-{number}"))
        assert client.get("/v1/me", headers=bearer(key)).status_code == status


def test_guesses_count_for_the_address_that_a_trusted_proxy_tells(client: httpx.Client) -> None:
    """uvicorn trusts this machine unless FORWARDED_ALLOW_IPS names others."""
    statuses = [
        client.get("/v1/me", headers={**bearer("guess"), "X-Forwarded-For": f"192.0.2.{last}"}).status_code
        for last in [1] * (Guesses.FREE + 1) + [2]
    ]
    assert statuses == [401] * Guesses.FREE + [429, 401]


def test_pauses_grow_and_are_forgotten_and_memory_is_bounded() -> None:
    clock = 0.0
    guesses = Guesses(most_peers=3, now=lambda: clock)
    for _ in range(Guesses.FREE):
        assert guesses.wait("192.0.2.1") == 0
        guesses.wrong("192.0.2.1")
    pauses = []
    for _ in range(10):
        pauses.append(guesses.wait("192.0.2.1"))
        clock += pauses[-1]
        assert guesses.wait("192.0.2.1") == 0
        guesses.wrong("192.0.2.1")
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    clock += Guesses.FORGET_SECONDS + 1
    guesses.wrong("192.0.2.1")
    assert guesses.wait("192.0.2.1") == 0
    for peer in range(100):
        guesses.wrong(f"198.51.100.{peer}")
    assert len(guesses._peers) == 3


def test_an_ipv6_network_is_one_guesser() -> None:
    guesses = Guesses()
    for number in range(Guesses.FREE):
        guesses.wrong(f"2001:db8::{number:x}")
    assert guesses.wait("2001:db8::ffff") > 0
    assert guesses.wait("2001:db8:0:1::1") == 0


def test_every_key_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of an answer tells nothing of which key, or how much of it, was right."""
    names = ["a", "b", "c"]
    tokens = [add_key(tmp_path, name, Role.READ) for name in names]
    ring = KeyRing(tmp_path, "d")
    compared: list[int] = []
    monkeypatch.setattr(
        "api.keys.hmac.compare_digest", lambda one, other: compared.append(len(one)) or one == other
    )
    for token in (*tokens, "d", "none of them"):
        compared.clear()
        caller = ring.caller(token.encode())
        assert (caller is None) == (token == "none of them")
        assert compared == [64] * 4


def test_the_file_on_disk_names_no_token(tmp_path: Path, tokens: dict[Role, str]) -> None:
    document = json.loads((tmp_path / FILE).read_text())
    assert {entry["role"] for entry in document["keys"]} == set(Role)
    assert {"name", "role", "sha256", "created"} == set(document["keys"][0])
