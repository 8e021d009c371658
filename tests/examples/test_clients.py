"""The examples of clients do what their heads say, beside a running service."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from pingti.client import JobFailedError
from pingti.errors import InputError, UnavailableError
from tests.support.brokers import until
from tests.support.paths import ROOT
from tests.support.rest import Door, home, running

__all__ = ["home", "running"]  # fixtures
DAY = "2026-11-25"


def load(name: str) -> ModuleType:
    path = ROOT / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"examples_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def served(running: Door, monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setenv("PINGTI_URL", str(running.client.base_url))
    monkeypatch.delenv("PINGTI_API_KEY", raising=False)
    return running


def write_posts(folder: Path, rows: int, bad: int = 0) -> None:
    folder.mkdir()
    good = [f'"k{row}","the match number {row}"' for row in range(rows - bad)]
    (folder / f"{DAY}.csv").write_text("\n".join(["id,text", *good, *["one,two,three"] * bad]) + "\n")


@pytest.mark.broker
def test_a_night_makes_one_job_however_often_it_is_started(
    served: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_posts(tmp_path / "posts", 300, bad=1)
    arguments = [str(tmp_path / "posts"), str(tmp_path / "labels"), "sport", "--day", DAY]
    nightly = load("nightly")
    before = served.client.get("/v1/jobs").json()["items"]
    for _ in range(2):
        assert nightly.main(arguments) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'labels' / f'{DAY}.parquet'}\n"
    assert len(served.client.get("/v1/jobs").json()["items"]) == len(before) + 1
    table = pq.read_table(tmp_path / "labels" / f"{DAY}.parquet")
    assert table.column_names == ["id", "sport", "sport_score"]
    assert table.num_rows == 299
    (line,) = (tmp_path / "labels" / f"{DAY}.errors.jsonl").read_text().splitlines()
    assert '"row": 299' in line


@pytest.mark.broker
def test_a_night_without_a_file_or_with_many_bad_rows_says_so(
    served: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_posts(tmp_path / "posts", 100, bad=50)
    arguments = [str(tmp_path / "posts"), str(tmp_path / "labels"), "topic"]
    assert load("nightly").main([*arguments, "--day", DAY]) == JobFailedError.exit_code
    assert "failed" in capsys.readouterr().err
    assert load("nightly").main([*arguments, "--day", "2026-11-24"]) == InputError.exit_code
    assert "2026-11-24.csv" in capsys.readouterr().err
    assert not (tmp_path / "labels").exists()


def test_a_night_without_a_service_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PINGTI_URL", "http://127.0.0.1:9")
    write_posts(tmp_path / "posts", 1)
    arguments = [str(tmp_path / "posts"), str(tmp_path / "labels"), "sport", "--day", DAY]
    assert load("nightly").main(arguments) == UnavailableError.exit_code
    assert "no answer" in capsys.readouterr().err


class StubTasks:
    """In place of Airflow's ``task``: keeps the functions, and what is called with what."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable[..., Any]] = {}
        self.sensors: set[str] = set()

    def __call__(self, **_: Any) -> Callable[..., Any]:
        return self._keep

    def sensor(self, **_: Any) -> Callable[..., Any]:
        def keep(function: Callable[..., Any]) -> Callable[..., Any]:
            self.sensors.add(function.__name__)
            return self._keep(function)

        return keep

    def _keep(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self.functions[function.__name__] = function
        return lambda *arguments: (function.__name__, *arguments)


@pytest.mark.broker
def test_the_dag_of_airflow_submits_waits_and_fetches(
    served: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stub: Airflow is not installed with Pingti."""
    tasks, graphs = StubTasks(), []

    def dag(**options: Any) -> Callable[..., Any]:
        assert options["catchup"] is False
        return lambda function: lambda: graphs.append(function())

    def poke(*, is_done: bool, xcom_value: str) -> SimpleNamespace:
        return SimpleNamespace(is_done=is_done, xcom_value=xcom_value)

    for name, members in (
        ("airflow", {}),
        ("airflow.decorators", {"dag": dag, "task": tasks}),
        ("airflow.sensors", {}),
        ("airflow.sensors.base", {"PokeReturnValue": poke}),
    ):
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    example = load("airflow_dag")
    assert len(graphs) == 1
    assert set(tasks.functions) == {"submit", "ended", "fetch"}
    assert tasks.sensors == {"ended"}

    write_posts(tmp_path / "posts", 60)
    monkeypatch.setattr(example, "POSTS", str(tmp_path / "posts" / "{day}.csv"))
    monkeypatch.setattr(example, "LABELS", str(tmp_path / "{day}.parquet"))
    monkeypatch.setattr(example, "TASK", "sport")
    job = tasks.functions["submit"](ds=DAY)
    assert tasks.functions["submit"](ds=DAY) == job
    until(lambda: tasks.functions["ended"](job).is_done, "the job ends")
    assert tasks.functions["ended"](job).xcom_value == job
    path = tasks.functions["fetch"](job, ds=DAY)
    assert path == str(tmp_path / f"{DAY}.parquet")
    assert pq.read_metadata(path).num_rows == 60
