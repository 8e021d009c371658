"""Typical mistakes: the sentence says what was wrong and what to do, and the exit code fits."""

from pathlib import Path

import httpx
import pytest

from api.cli.console import error_text
from pingti.calls.answers import DeniedError, error_of
from pingti.errors import Fault, InputError
from pingti.workspace.registry import Workspace
from tests.support.command_line import Run


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (
            b"text\n\xb9\xfa\xd7\xe3\n",
            "all 1 rows are bad; nothing was classified; the first: {file}: row 0: field 'text' is not "
            "UTF-8; --encoding names another, such as gb18030",
        ),
        (b'text\n"goal\n', "the first: {file}: row 0: "),
    ],
)
def test_who_has_bad_rows_alone_is_told_why(
    pingti: Run, workspace: Workspace, tmp_path: Path, rows: bytes, says: str
) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(rows)
    ran = pingti(
        *("classify", file, "--task", "sport"), *("--out", tmp_path / "out", "--home", workspace.root)
    )
    assert ran.returncode == 2
    assert says.format(file=file) in ran.stderr


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("127.0.0.1:8080", "needed are http:// or https:// and a host; one is http://127.0.0.1:8080"),
        ("nonsense", "needed are http:// or https:// and a host"),
        ("ftp://example.org", "needed are http:// or https:// and a host"),
        ("http://", "needed are http:// or https:// and a host"),
        ("http://localhost:99999", "the port 99999 is above 65535; one is http://127.0.0.1:8080"),
    ],
)
def test_what_is_no_address_of_a_service_is_refused_before_anything_is_sent(
    pingti: Run, url: str, says: str
) -> None:
    ran = pingti("jobs", "list", "--url", url)
    assert ran.returncode == 2
    assert f"{url!r} is not a service's address" in ran.stderr
    assert says in ran.stderr


def test_an_id_of_a_retraining_that_is_none_is_refused_before_anything_is_sent(pingti: Run) -> None:
    for id in ("sport", "sport/", "/now"):
        ran = pingti("retrain", "cancel", id, "--url", "http://127.0.0.1:9")
        assert ran.returncode == 2
        assert f"{id!r} is no retraining's id, TASK/NAME; pingti retrain list TASK names them" in ran.stderr


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            InputError("#/file: a.csv is empty.", faults=[Fault(detail="a.csv is empty", pointer="/file")]),
            "file: a.csv is empty.",
        ),
        (
            InputError(
                "#/gate/recall: 5 is too much", faults=[Fault(detail="5 ...", pointer="/gate/recall")]
            ),
            "gate.recall: 5 is too much",
        ),
        (InputError("a.csv: is empty", faults=[Fault(detail="is empty", file="a.csv")]), "a.csv: is empty"),
    ],
)
def test_a_place_is_written_as_in_a_definition(error: InputError, says: str) -> None:
    assert error_text(error) == says


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "This server asks for a key; PINGTI_API_KEY or --key gives it"),
        (
            {"Authorization": "Bearer k"},
            "This server asks for a key; the key that was sent is none of its keys",
        ),
    ],
)
def test_a_key_that_lacks_is_told_from_a_wrong_one(headers: dict[str, str], says: str) -> None:
    request = httpx.Request("GET", "http://127.0.0.1/v1/jobs", headers=headers)
    problem = {"detail": "This server asks for a key.", "type": "/problems#unauthorized"}
    error = error_of(httpx.Response(401, json=problem, request=request))
    assert (type(error), str(error)) == (DeniedError, says)


def test_a_workspace_that_is_a_file_or_not_there_is_named(pingti: Run, tmp_path: Path) -> None:
    file = tmp_path / "posts.csv"
    file.write_text("text\n")
    for command in (("task", "list"), ("task", "show", "sport"), ("replace", "sport")):
        ran = pingti(*command, "--home", file)
        assert ran.returncode == 2
        assert f"{file}: is a file; a workspace is a folder, which --home or PINGTI_HOME names" in ran.stderr
    nowhere = tmp_path / "nowhere"
    ran = pingti("task", "list", "--home", nowhere)
    assert (ran.returncode, f"there is no folder {nowhere}" in ran.stderr) == (0, True)
    ran = pingti("task", "show", "sport", "--home", nowhere)
    assert ran.returncode == 3
    assert f"there is no folder {nowhere}; --home or PINGTI_HOME names another" in ran.stderr
