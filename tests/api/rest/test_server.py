"""The server: where it may listen, what it says, and that nothing slow holds up the others."""

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import api.rest
from api.cli import up
from api.rest.app import create_app
from api.rest.server import listen, serve, url
from pingti.errors import InputError, UnavailableError
from queue_worker.settings import Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "pingti.example"])
def test_without_a_key_it_listens_on_loopback_only(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match="without an API key; make one by pingti keys add"):
        listen(Settings(home=tmp_path, host=host, port=0))


def test_with_a_key_it_listens_anywhere(tmp_path: Path) -> None:
    with listen(Settings(home=tmp_path, host="0.0.0.0", port=0, api_key="k")) as listener:
        assert url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with listen(Settings(home=tmp_path, port=0)) as first:
        port = first.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"port {port}: Address already in use"):
            listen(Settings(home=tmp_path, port=port))


def started(home: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "api.rest.server"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
        env={"PINGTI_HOME": str(home), "PINGTI_PORT": "0", "PYTHONPATH": ":".join(sys.path), **environment},
    )


def test_it_says_in_one_line_where_it_listens_and_ends_on_sigterm(tmp_path: Path) -> None:
    with started(tmp_path) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("Pingti listens on 127.0.0.1, port ")
        assert "without an API key, this machine only" in line
        answer = httpx.get(line.split()[-1] + "/healthz")
        assert answer.json()["status"] == "alive"
        process.terminate()
        assert process.stderr.read() == ""
    assert process.returncode == 143


def test_a_refusal_is_one_sentence_and_an_exit_code(tmp_path: Path) -> None:
    with started(tmp_path, PINGTI_HOST="0.0.0.0") as process:
        assert process.stderr is not None
        (line,) = process.stderr.read().splitlines()
    assert "without an API key" in line
    assert process.returncode == InputError.exit_code


def test_a_wrong_variable_ends_it_in_one_sentence_without_it(tmp_path: Path) -> None:
    with started(tmp_path, PINGTI_API_KEY="hush\nhush") as process:
        assert process.stderr is not None
        (line,) = process.stderr.read().splitlines()
    assert line == "PINGTI_API_KEY: the key holds a control character; allowed are printable ones"
    assert process.returncode == InputError.exit_code


def test_a_part_of_up_says_what_is_wrong_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PINGTI_API_KEY", "")
    assert up.main(["0"]) == InputError.exit_code
    assert capsys.readouterr().err.startswith("PINGTI_API_KEY: the key is empty")


def test_importing_it_imports_nothing_that_trains() -> None:
    unwanted = {"torch", "transformers", "faiss", "replacement", "teacher", "sampling"}
    program = (
        "import sys, api.rest.app, api.rest.server\n"
        "imported = {name.partition('.')[0] for name in sys.modules}\n"
        f"print(sorted({unwanted} & imported))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_its_public_names() -> None:
    assert api.rest.create_app is create_app
    assert api.rest.serve is serve
    assert set(api.rest.__all__) == {"create_app", "serve"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        api.rest.nothing  # noqa: B018


def test_an_answer_does_not_wait_for_the_clients_receipt(tmp_path: Path) -> None:
    with (
        listen(Settings(home=tmp_path, port=0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
