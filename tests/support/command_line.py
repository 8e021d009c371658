"""The command line ``pingti``, run in the process of a test."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from api.cli.main import main

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pingti(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line, run in this process."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["pingti", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, int(left.value.code or 0), out, err)

    return run
