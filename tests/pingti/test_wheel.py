"""An ordinary install: what is in the wheel, and that it runs beside foreign files of its packages' names."""

import functools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pingti.errors import UnavailableError
from pingti.rooms import ROOMS
from pingti.workspace.registry import Workspace
from tests.support.brokers import require_broker, until
from tests.support.foreign import write_foreign_rooms
from tests.support.paths import ROOT

PACKAGES = ("pingti", *ROOMS)


def environment(**more: str) -> dict[str, str]:
    """This process's variables without those that lead to the source."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PINGTI_"))}
    return {**kept, **more}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pingti's wheel, built from a copy of the source, without a network."""
    pytest.importorskip("setuptools", minversion="80")
    folder = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    build = [sys.executable, "-m", "pip", "wheel", *options, folder / "source"]
    subprocess.run(build, env=environment(), cwd=folder, check=True)
    (built,) = folder.glob("pingti-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a fresh environment with the wheel, which takes all other packages from the present one."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], env=environment(), check=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--quiet", "--python", python, "install"]
    subprocess.run(
        [*install, "--no-deps", "--no-index", "--no-compile", wheel],
        env=environment(),
        cwd=folder,
        check=True,
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    # A folder's .pth files count only where site itself adds it: an editable install there is not seen.
    others = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "others.pth").write_text("\n".join(sorted(others)) + "\n")
    return folder / "bin"


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == sources
    assert {".html", ".css", ".js", ".bin"} <= {Path(name).suffix for name in sources}
    # Of every package: the types of a public name are looked up where it is defined.
    assert {f"{name}/py.typed" for name in PACKAGES} <= sources


def test_the_console_script_looks_before_it_imports(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "pingti = pingti.__main__:main" in archive.read(name).decode()


def test_the_packages_of_the_source_are_all_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert sorted(declared["include"]) == sorted(f"{name}*" for name in PACKAGES)
    for name in PACKAGES:
        without = [
            str(path.relative_to(ROOT))
            for path in (ROOT / name).rglob("*.py")
            if not (path.parent / "__init__.py").is_file()
        ]
        assert without == []


def test_foreign_packages_are_never_executed_and_the_names_come_from_the_wheel(
    installed: Path, tmp_path: Path
) -> None:
    marker = write_foreign_rooms(tmp_path, "api", "teacher", "sampling")
    code = """
        import sys, warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import pingti
        (warning,) = caught
        print(warning.category.__name__, warning.message)
        from pingti import Client, Student
        Client("http://127.0.0.1:9").close()
        print(pingti.__file__)
        print(sys.modules[Student.__module__].__file__)
    """
    command = [installed / "python", "-c", "if True:" + code]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    warning, *files = ran.stdout.splitlines()
    assert warning.startswith("ForeignRoomWarning other files hide packages of Pingti: ")
    for name in ("api", "teacher", "sampling"):
        assert f"{name} is {tmp_path / name / '__init__.py'}" in warning
    for file in files:
        assert Path(file).is_relative_to(installed.parent), file
    assert not marker.exists()


def test_a_path_to_foreign_packages_is_told_in_a_sentence(installed: Path, tmp_path: Path) -> None:
    marker = write_foreign_rooms(tmp_path, "api")
    command = [installed / "pingti", "--help"]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == UnavailableError.exit_code
    assert f"api is {tmp_path / 'api' / '__init__.py'}" in ran.stderr.splitlines()[-1]
    assert "Traceback" not in ran.stderr
    assert not marker.exists()


@contextmanager
def serving(program: Path, home: Path, folder: Path) -> Iterator[str]:
    """The address of a service that ``pingti up`` serves, started in ``folder``."""
    log = home / "up.log"
    command = [program, "up", "--home", home, "--port", "0"]
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, cwd=folder, env=environment(), stderr=errors) as up,
    ):
        try:
            until(lambda: "Pingti listens" in log.read_text() or up.poll() is not None, "the address")
            assert up.poll() is None, log.read_text()
            (line,) = (line for line in log.read_text().splitlines() if "Pingti listens" in line)
            yield line.split()[-1]
        finally:
            up.terminate()
    assert up.returncode == 143
    assert "ended with code" not in log.read_text()


JOB = """
import json, sys
import httpx
from pingti import Client
with Client(sys.argv[1]) as client:
    assert httpx.get(sys.argv[1] + "/healthz").json()["status"] == "alive"
    job = client.submit(["rows.csv"], ["sport"], upload=False)
    job = client.wait(job.id)
    print(json.dumps({"status": job.status, "rows": client.results(job.id).num_rows}))
"""


@pytest.mark.broker
def test_a_service_serves_where_foreign_packages_lie(
    installed: Path, workspace: Workspace, texts: list[str], tmp_path: Path
) -> None:
    require_broker()
    folder = tmp_path / "project"
    folder.mkdir()
    marker = write_foreign_rooms(folder, "api", "teacher", "sampling")
    (workspace.root / "rows.csv").write_text("text\n" + "\n".join(texts[:50]) + "\n")
    with serving(installed / "pingti", workspace.root, folder) as url:
        run = functools.partial(subprocess.run, cwd=folder, env=environment(), text=True, capture_output=True)
        ran = run([installed / "python", "-W", "ignore", "-c", JOB, url], check=False)
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout) == {"status": "completed", "rows": 50}
        page = run([installed / "python", "-c", f"import httpx; print(httpx.get('{url}/').text)"], check=True)
        assert "<!doctype html>" in page.stdout.lower()
    assert not marker.exists()
