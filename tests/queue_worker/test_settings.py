"""Settings: read from the environment, handed to children, and the gate for a job's input paths."""

import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from pingti.errors import InputError
from queue_worker.settings import Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PINGTI_"):
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    (home / "data").mkdir(parents=True)
    (home / "data" / "a.csv").write_text("text\n")
    (tmp_path / "outside.csv").write_text("text\n")
    return home


def test_a_child_gets_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        home=tmp_path,
        redis_url="redis://:secret@127.0.0.1:1/0",
        input_roots=(tmp_path / "a", tmp_path / "b c"),
        api_key=SecretStr("key"),
        lease_seconds=0.25,
        heartbeat_seconds=0.05,
        durable=False,
    )
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    shown = repr(Settings(home=tmp_path, redis_url="redis://:hush@h/0", api_key=SecretStr("hush")))
    assert "hush" not in shown


@pytest.mark.parametrize("key", ["", " ", "\r\n", "hush\nhush", "hush\0", "hush\udcff"])
def test_a_key_that_opens_nothing_is_refused_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    with pytest.raises(ValidationError, match="the key") as refused:
        Settings(home=tmp_path, api_key=SecretStr(key))
    assert "hush" not in str(refused.value.errors()[0]["ctx"]["error"])
    if "\0" not in key:
        monkeypatch.setenv("PINGTI_API_KEY", key)
        with pytest.raises(ValidationError, match="the key"):
            Settings(home=tmp_path)


def test_a_key_from_a_file_with_an_end_of_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGTI_API_KEY", " caff\u00e8 \u00e0\r\n")
    assert Settings(home=tmp_path).api_key == SecretStr("caff\u00e8 \u00e0")


def test_settings_are_immutable_and_checked(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        Settings(home=tmp_path).port = 1  # type: ignore[misc]
    wrong: dict[str, Any]
    for wrong in ({"shard_rows": 0}, {"durable_seconds": 0.0001}, {"redis_url": "localhost:6379"}):
        with pytest.raises(ValidationError):
            Settings(home=tmp_path, **wrong)


@pytest.mark.parametrize("part", ["scheduler", "worker", "processes.health classify"])
def test_a_wrong_variable_ends_a_process_in_one_sentence_without_it(tmp_path: Path, part: str) -> None:
    module, *arguments = part.split()
    ended = subprocess.run(
        [sys.executable, "-m", f"queue_worker.{module}", *arguments],
        env={**os.environ, "PINGTI_HOME": str(tmp_path), "PINGTI_CALLBACK_SECRET": "whsec_hush"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout + ended.stderr == (
        "PINGTI_CALLBACK_SECRET: needed is whsec_ and 24 to 64 bytes in base64\n"
    )
    assert ended.returncode == (1 if module == "processes.health" else InputError.exit_code)


def test_errors_of_settings_hold_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINGTI_CALLBACK_SECRET", "whsec_hush")
    monkeypatch.setenv("PINGTI_REDIS_URL", "redis://:hush@h/0")
    with pytest.raises(ValidationError) as wrong:
        Settings(home=tmp_path)
    assert "hush" not in str(wrong.value)
    monkeypatch.setenv("PINGTI_PORT", "hush")
    with pytest.raises(InputError, match=r"PINGTI_PORT: .* integer.* \(and 1 more\)$") as refused:
        Settings.of_environment()
    assert "hush" not in "".join(traceback.format_exception(refused.value))
    monkeypatch.delenv("PINGTI_CALLBACK_SECRET")
    monkeypatch.delenv("PINGTI_PORT")
    monkeypatch.setenv("PINGTI_LEASE_SECONDS", "1")
    with pytest.raises(InputError, match=r"^settings: heartbeat_seconds is 3"):
        Settings.of_environment()


def test_a_lease_outlasts_two_lost_heartbeats(tmp_path: Path) -> None:
    assert Settings(home=tmp_path, lease_seconds=9, heartbeat_seconds=3).heartbeat_seconds == 3
    for changes in ({"heartbeat_seconds": 6}, {"lease_seconds": 8}):
        with pytest.raises(ValidationError, match=r"heartbeat_seconds is .* a third of lease_seconds"):
            Settings(home=tmp_path, **changes)


def test_a_file_below_home_is_allowed(home: Path) -> None:
    settings = Settings(home=home)
    real = (home / "data" / "a.csv").resolve()
    assert settings.allowed_input("data/a.csv") == real
    assert settings.allowed_input(str(home / "data" / ".." / "data" / "a.csv")) == real


@pytest.mark.parametrize(
    "path",
    ["../outside.csv", "data/../../outside.csv", "/etc/passwd", "data", "missing.csv", "", "a\0b"],
)
def test_other_paths_are_refused(home: Path, path: str) -> None:
    with pytest.raises(InputError):
        Settings(home=home).allowed_input(path)


def test_an_address_is_refused(home: Path) -> None:
    with pytest.raises(InputError, match="is an address"):
        Settings(home=home).allowed_input("http://example.org/a.csv")


def test_links_that_lead_out_are_refused(home: Path) -> None:
    (home / "link.csv").symlink_to(home.parent / "outside.csv")
    (home / "folder").symlink_to(home.parent)
    (home / "loop").symlink_to(home / "loop")
    (home / "inside.csv").symlink_to(home / "data" / "a.csv")
    settings = Settings(home=home)
    for path in ("link.csv", "folder/outside.csv", "loop"):
        with pytest.raises(InputError, match="allowed folder"):
            settings.allowed_input(path)
    assert settings.allowed_input("inside.csv") == (home / "data" / "a.csv").resolve()


def test_missing_and_forbidden_files_read_alike(home: Path) -> None:
    def refusal(path: str) -> str:
        with pytest.raises(InputError) as caught:
            Settings(home=home).allowed_input(path)
        return str(caught.value).replace(path, "PATH")

    assert refusal("../outside.csv") == refusal("../nothing.csv")


def test_only_regular_files_are_read(home: Path) -> None:
    os.mkfifo(home / "pipe.csv")
    with pytest.raises(InputError, match="not a file that can be read"):
        Settings(home=home).allowed_input("pipe.csv")


def test_roots_replace_home(home: Path) -> None:
    settings = Settings(home=home, input_roots=(home.parent,))
    assert settings.allowed_input(str(home.parent / "outside.csv")).name == "outside.csv"
    with pytest.raises(InputError):
        Settings(home=home, input_roots=(home / "data" / "none",)).allowed_input("data/a.csv")


def test_a_root_may_itself_be_a_link(home: Path) -> None:
    link = home.parent / "linked"
    link.symlink_to(home)
    assert Settings(home=link).allowed_input("data/a.csv") == (home / "data" / "a.csv").resolve()


@given(parts=st.lists(st.sampled_from(["..", ".", "data", "inner", "a.csv", "outside.csv"]), max_size=8))
def test_nothing_outside_is_ever_allowed(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    base = tmp_path_factory.getbasetemp() / "settings_property"
    home = base / "home"
    (home / "data").mkdir(parents=True, exist_ok=True)
    (home / "data" / "a.csv").touch()
    (base / "outside.csv").touch()
    try:
        real = Settings(home=home).allowed_input("/".join(parts))
    except InputError:
        return
    assert real == (home / "data" / "a.csv").resolve()
