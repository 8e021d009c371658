import fcntl
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pingti import errors, files


def test_a_file_is_replaced_as_a_whole_and_an_error_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    files.write_bytes(path, b"old")
    with pytest.raises(KeyError), files.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise KeyError
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]
    files.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_what_a_kill_leaves_is_never_taken_for_a_part(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from pingti import files\n"
        "with files.replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    child = subprocess.run([sys.executable, "-c", program, tmp_path / "00000.parquet"], check=False)
    assert child.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".00000.parquet.")
    assert list(tmp_path.glob("[!.]*")) == []


def test_what_is_no_json_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"text": "\u4f60\u597d\u2028"})
    for value in ({"a": float("nan")}, {"a": "\ud800"}, {"a": object()}):
        with pytest.raises((ValueError, TypeError)):
            files.write_json(path, value)
    assert path.read_bytes() == b'{\n  "text": "\xe4\xbd\xa0\xe5\xa5\xbd\xe2\x80\xa8"\n}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "log" / "lines.jsonl"
    program = (
        "import sys; from pathlib import Path; from pingti import files\n"
        "for i in range(20): files.append_line(Path(sys.argv[1]), [int(sys.argv[2]), i, 'x' * 5000])"
    )
    children = [subprocess.Popen([sys.executable, "-c", program, path, str(number)]) for number in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number in range(3):
        assert [line[1] for line in lines if line[0] == number] == list(range(20))


def test_lines_that_a_full_disk_cuts_short_are_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    program = (
        "import resource, sys; from pathlib import Path; from pingti import files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))\n"
        "files.append_line(Path(sys.argv[1]), 'x' * 100)"
    )
    files.append_line(path, {"a": 1})
    child = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert child.returncode == 1
    assert "File too large" in child.stderr
    files.append_line(path, {"b": 2})
    assert path.read_bytes() == b'{"a": 1}\n{"b": 2}\n'


def test_a_line_that_broke_off_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n{"b"')
    files.append_lines(path, [2, 3])
    assert path.read_bytes() == b'{"a": 1}\n{"b"\n2\n3\n'


def test_every_error_has_its_own_exit_code_status_and_kind() -> None:
    leaves = [
        errors.PingtiError,
        errors.InputError,
        errors.NotFoundError,
        errors.ConflictError,
        errors.GateError,
        errors.UnavailableError,
    ]
    assert [error.exit_code for error in leaves] == [1, 2, 3, 4, 5, 6]
    assert [error.http_status for error in leaves] == [500, 422, 404, 409, 409, 503]
    kinds = [error.kind for error in (*leaves, errors.DefinitionError, errors.ArtifactError)]
    assert len(set(kinds)) == len(kinds)
    # A damaged artifact is not the caller's fault.
    assert (errors.ArtifactError.exit_code, errors.ArtifactError.http_status) == (1, 500)
    assert (errors.DefinitionError.exit_code, errors.DefinitionError.http_status) == (2, 422)


def test_an_error_of_a_file_says_where_as_data_too() -> None:
    error = errors.ArtifactError.in_file("a.jsonl", "not JSON", line=3)
    assert str(error) == "a.jsonl: line 3: not JSON"
    assert error.faults == (errors.Fault(detail="not JSON", file="a.jsonl", row=3),)
    assert isinstance(error, errors.InputError)
    assert errors.json_pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"


def test_a_lock_is_held_by_one_and_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    with files.locked(path, mode=0o600), path.open() as other:
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_busy_lock_is_told_before_it_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    def busy() -> None:
        raise KeyError

    with files.locked(path), pytest.raises(KeyError), files.locked(path, busy=busy):
        pass
    with files.locked(path, busy=busy):
        pass


def test_a_folder_comes_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "1"
    with pytest.raises(KeyError), files.new_folder(path) as temporary:
        (temporary / "a").write_text("half")
        raise KeyError
    assert list(path.parent.iterdir()) == []
    with files.new_folder(path) as temporary:
        (temporary / "a").write_text("whole")
        assert not path.exists()
    assert [entry.name for entry in path.parent.iterdir()] == ["1"]
    assert (path / "a").read_text() == "whole"
    with (
        pytest.raises(errors.ConflictError, match="1: this folder has come to be meanwhile"),
        files.new_folder(path) as temporary,
    ):
        (temporary / "a").write_text("another")
    assert (path / "a").read_text() == "whole"
    assert [entry.name for entry in path.parent.iterdir()] == ["1"]


def test_what_a_kill_leaves_of_a_folder_is_removed_and_what_another_writes_is_not(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from pingti import files\n"
        "with files.new_folder(Path(sys.argv[1])) as temporary:\n"
        "    (temporary / 'a').write_text('half'); print(temporary.name, flush=True)\n"
        "    sys.stdin.readline() or os.kill(os.getpid(), 9)"
    )

    def start(name: str) -> tuple[subprocess.Popen[str], str]:
        child = subprocess.Popen(
            [sys.executable, "-c", program, tmp_path / name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        return child, child.stdout.readline().strip()

    killed, left = start("killed")
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [left]
    (tmp_path / ".mine").mkdir()
    writing, kept = start("writing")
    with files.new_folder(tmp_path / "2") as temporary:
        assert {path.name for path in tmp_path.iterdir()} == {kept, ".mine", temporary.name}
    writing.communicate("go on\n")
    assert writing.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {".mine", "2", "writing"}
