"""The container files: what a wrong edit of them would break, found without a container engine."""

import importlib.util
import inspect
import os
import re
import runpy
import shlex
import socket
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from queue_worker.celery_app import CLASSIFY, CONTROL, QUEUES, REDIS_TRANSPORT, TEACH, connect, lists_of
from queue_worker.processes import launcher
from queue_worker.processes.health import alive
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import require_broker, until
from tests.support.paths import ROOT

yaml = pytest.importorskip("yaml", reason="transformers brings PyYAML along")

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = {
    name: service for name, service in COMPOSE["services"].items() if "profiles" not in service
}
OURS = sorted(set(SERVICES) - {"valkey"})
BUILDS = {service["image"]: service["build"] for service in SERVICES.values() if "build" in service}


def target_of(name: str) -> str:
    """The Dockerfile's target of the image that a service runs; another service may build it."""
    target = BUILDS[SERVICES[name]["image"]]["target"]
    assert isinstance(target, str)
    return target


def stages() -> dict[str, list[str]]:
    """The Dockerfile's instructions by stage, each on one line, the FROM first."""
    by_stage: dict[str, list[str]] = {}
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.startswith("FROM "):
            by_stage[line.split()[-1]] = [line]
        elif line.strip():
            by_stage[list(by_stage)[-1]].append(line)
    return by_stage


def reached(target: str) -> list[str]:
    """All instructions that make ``target``: its own, and those of the stages it comes or copies from."""
    instructions = stages()
    own = instructions[target]
    sources = re.findall(r"^FROM (\S+)|--from=(\S+)", "\n".join(own), re.MULTILINE)
    before = [line for pair in sources for name in pair if name in instructions for line in reached(name)]
    return [*before, *own]


def installs(target: str) -> list[str]:
    return [line for line in reached(target) if "pip install" in line]


def modules(command: str | list[str]) -> list[str]:
    words = shlex.split(command) if isinstance(command, str) else command
    return [after for word, after in pairwise(words) if word == "-m"]


def test_the_services_are_those_that_make_up_pingti() -> None:
    assert set(SERVICES) == {"valkey", "api", "worker", "retrain", "scheduler"}
    assert set(COMPOSE["volumes"]) == {"workspace", "valkey"}


def test_every_image_is_built_once_and_never_looked_for_in_a_registry() -> None:
    built = [SERVICES[name]["image"] for name in OURS if "build" in SERVICES[name]]
    assert sorted(built) == sorted({SERVICES[name]["image"] for name in OURS})
    assert all(SERVICES[name]["pull_policy"] == "never" for name in OURS)
    # What the services to start without retraining need is built by one of them.
    assert BUILDS["pingti-classify"] == SERVICES["api"]["build"]


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_module_that_exists(name: str) -> None:
    service = SERVICES[name]
    assert len(modules(service["command"])) == 1
    kind, check = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    for module in [*modules(service["command"]), *modules(check)]:
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_hardened_restarted_and_shares_the_workspace(name: str) -> None:
    service = SERVICES[name]
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
    assert service["cap_drop"] == ["ALL"]
    assert service["volumes"] == [f"workspace:{service['environment']['PINGTI_HOME']}"]
    assert service["depends_on"] == {"valkey": {"condition": "service_healthy"}}
    users = [line.split()[1] for line in reached(target_of(name)) if line.startswith("USER ")]
    assert users
    assert users[-1] != "root"


@pytest.mark.parametrize("name", OURS)
def test_a_service_sets_only_variables_that_the_settings_know(name: str) -> None:
    known = {f"PINGTI_{field.upper()}" for field in Settings.model_fields}
    if name == "retrain":
        known.add("PINGTI_TEACHER_KEY")
    assert {key for key in SERVICES[name]["environment"] if key.startswith("PINGTI_")} <= known


@pytest.mark.parametrize("name", OURS)
def test_every_setting_can_be_given(name: str) -> None:
    """But for those that the containers decide themselves."""
    own = {"home", "redis_url", "host", "port", "api_key", "durable"}
    wanted = {f"PINGTI_{field.upper()}" for field in set(Settings.model_fields) - own}
    assert wanted <= set(SERVICES[name]["environment"])


def test_the_key_of_a_teacher_goes_where_teachers_are_asked() -> None:
    services = COMPOSE["services"]  # those of a profile, too
    holders = {name for name in services if "PINGTI_TEACHER_KEY" in services[name].get("environment", {})}
    assert holders == {"retrain", "teach"}


def test_every_queue_has_a_worker_and_the_retraining_one_has_torch() -> None:
    queues = {}
    for name in ("worker", "retrain"):
        command = SERVICES[name]["command"]
        queues[command[command.index("--queue") + 1]] = target_of(name)
    assert queues == {"classify": "classify", "retrain": "retrain"}
    teach = COMPOSE["services"]["teach"]  # which retrain does, too
    assert teach["image"] == SERVICES["retrain"]["image"]
    assert teach["command"][-2:] == ["--queue", TEACH]
    assert {*queues, TEACH, CONTROL} == set(QUEUES)
    assert SERVICES["scheduler"]["command"][-1] == "queue_worker.scheduler"  # works on the third


def test_the_key_is_required_and_given_to_the_api_alone() -> None:
    holders = {name for name in OURS if "PINGTI_API_KEY" in SERVICES[name]["environment"]}
    assert holders == {"api"}
    environment = SERVICES["api"]["environment"]
    assert environment["PINGTI_HOST"] == "0.0.0.0"
    assert environment["PINGTI_API_KEY"].startswith("${PINGTI_API_KEY:?")
    assert "FORWARDED_ALLOW_IPS" in environment  # a proxy's clients are told apart by it


def test_only_the_api_is_published_and_on_this_machine_only() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    (published,) = SERVICES["api"]["ports"]
    assert published == f"${{PINGTI_PUBLISH:-127.0.0.1:8080}}:{SERVICES['api']['environment']['PINGTI_PORT']}"


def test_valkey_keeps_its_log_as_the_embedded_one_does() -> None:
    command = SERVICES["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    source = inspect.getsource(launcher)
    for option in ("appendonly", "appendfsync", "maxmemory-policy"):
        (chosen,) = set(re.findall(rf'"{option}": "([\w-]+)"', source))
        assert options[f"--{option}"] == chosen
    assert SERVICES["valkey"]["volumes"] == ["valkey:/data"]


def test_the_classify_image_installs_nothing_of_the_teacher() -> None:
    lines = installs("classify")
    assert any("'.[service]'" in line for line in lines)
    for word in ("torch", "transformers", "faiss", "teacher", "demo", "dev"):
        assert not any(word in line for line in lines), word


def test_the_retrain_image_installs_torch_before_the_teacher_extra() -> None:
    first, second = installs("retrain")[:2]
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "teacher"
    ]
    (allowed,) = (Requirement(line) for line in extra if line.startswith("torch"))
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    (pinned,) = (line for line in lock if line.startswith("torch=="))
    assert first.endswith(" --constraint requirements.lock torch")
    assert allowed.specifier.contains(pinned.removeprefix("torch=="))
    assert "'.[service,teacher]'" in second


@pytest.mark.parametrize("target", ["classify", "retrain"])
def test_every_install_is_under_the_lock(target: str) -> None:
    assert all("--constraint requirements.lock" in line for line in installs(target))


def test_every_package_reaches_the_build() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    assert {pattern.rstrip("*") for pattern in packages["include"]} <= allowed
    assert "*" in ignore
    for target in ("classify", "retrain"):
        assert "COPY . ." in reached(target)


def test_no_address_of_a_registry_or_mirror_is_named() -> None:
    for name in ("Dockerfile", "docker-compose.yml", ".dockerignore"):
        hosts = set(re.findall(r"https?://([^/\s\"']+)", (ROOT / name).read_text()))
        assert hosts <= {"127.0.0.1:8080"}, name


@pytest.mark.broker
def test_the_health_check_tells_a_living_process_from_a_dead_one(tmp_path: Path) -> None:
    require_broker()

    def check(settings: Settings, kind: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "queue_worker.processes.health", kind]
        done = subprocess.run(
            command, env={**os.environ, **settings.environment()}, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stderr

    host = socket.gethostname()
    with Processes() as started:
        settings = started.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            for kind in (*QUEUES, "scheduler"):
                code, reason = check(settings, kind)
                assert (code, reason.count("\n")) == (1, 1)
                assert f"no {kind} process on {host}" in reason
            worker = started.start_worker(settings, log=tmp_path / "worker.log")
            started.start_scheduler(settings, log=tmp_path / "scheduler.log")
            until(lambda: alive(client, "scheduler", host), "the scheduler's sign")
            assert check(settings, "classify") == (0, "")
            assert check(settings, "scheduler") == (0, "")
            # Not another queue's worker, nor one of a host whose name begins alike.
            assert not alive(client, "retrain", host)
            assert not alive(client, "classify", host[:-1])
            assert not alive(client, "scheduler", host[:-1])
            assert 0 < int(client.ttl(f"pingti:scheduler:of:{host}")) <= 30  # fades when it is not told again
            worker.kill()
            started.stop(worker)
            names = client.zrange("pingti:workers", 0, -1)
            (name,) = [name for name in names if name.startswith("classify@")]
            client.zincrby("pingti:workers", -15_000, name)  # instead of a wait
            assert check(settings, "classify")[0] == 1
    code, reason = check(settings, "scheduler")
    assert code == 1
    assert reason.startswith("Valkey does not answer")


def test_the_autoscalers_example_looks_at_lists_that_there_are() -> None:
    scaled = yaml.safe_load((ROOT / "deploy" / "keda.yaml").read_text())
    triggers = scaled["spec"]["triggers"]
    assert {trigger["type"] for trigger in triggers} == {"redis"}
    assert {trigger["metadata"]["listName"] for trigger in triggers} <= set(lists_of(CLASSIFY))


def test_flower_comes_only_when_asked_for_and_on_this_machine_only() -> None:
    extras = {name: service for name, service in COMPOSE["services"].items() if "profiles" in service}
    assert {name: service["profiles"] for name, service in extras.items()} == {
        "flower": ["flower"],
        "teach": ["cascade"],
    }
    assert extras["flower"]["ports"] == ["${PINGTI_FLOWER:-127.0.0.1:5555}:5555"]


def test_flower_reads_and_writes_the_broker_as_the_workers_do() -> None:
    (mounted,) = COMPOSE["services"]["flower"]["volumes"]
    file, target, mode = mounted.split(":")
    assert (target, mode) == (
        "/data/celeryconfig.py",
        "ro",
    )  # where the image starts Celery, which looks there
    configuration = runpy.run_path(str(ROOT / file))["broker_transport_options"]
    assert configuration == {name: REDIS_TRANSPORT[name] for name in ("sep", "priority_steps")}
