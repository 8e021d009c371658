"""What is installed, and the machine that it runs on."""

import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from api.cli.doctor.findings import Finding, State, in_gigabytes, version_of

_MEMORY_WARN = 2 << 30
_TEACHER = ("torch", "transformers", "faiss-cpu")
_SERVICE = ("celery", "redis", "fastapi", "uvicorn", "httpx", "pydantic-settings", "python-multipart")


def look_at_python(_: Path) -> Iterator[Finding]:
    """The interpreter and the machine."""
    here = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    good = sys.version_info >= (3, 11)
    yield Finding(
        name="python",
        state=State.OK if good else State.FAIL,
        says=here,
        next_step="" if good else "install Python 3.11 or newer",
    )


def look_at_packages(_: Path) -> Iterator[Finding]:
    """Pingti itself, and what each of its extras is made of."""
    yield Finding(name="pingti", state=State.OK, says=version_of("pingti") or "run from its source")
    for extra, names, without in (
        ("service", _SERVICE, "jobs, REST and dashboard"),
        ("teacher", _TEACHER, "replacing and retraining"),
    ):
        missing = [name for name in names if version_of(name) is None]
        present = ", ".join(f"{name} {version_of(name)}" for name in names if name not in missing)
        if not missing:
            yield Finding(name=f"{extra} extra", state=State.OK, says=present)
        else:
            yield Finding(
                name=f"{extra} extra",
                state=State.WARN,
                says=f"missing: {', '.join(missing)}; no {without} here",
                next_step=f"pip install 'pingti[{extra}]'",
            )


def look_at_processor(_: Path) -> Iterator[Finding]:
    """Cores, the limit of the control group, and the instructions that the kernels use."""
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


def look_at_memory(_: Path) -> Iterator[Finding]:
    """Memory that is free; nothing outside Linux."""
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
        says=f"{in_gigabytes(available)} of {in_gigabytes(total)} available",
        next_step="classifying needs little; replacing with a BERT wants 2 GB" if low else "",
    )


def look_at_kernels(_: Path) -> Iterator[Finding]:
    """Whether the compiled kernels are kept."""
    # Numba keeps what it compiled in __pycache__ beside the module, or where NUMBA_CACHE_DIR says.
    # Looked for by its package, which is not imported by that: what is imported compiles.
    spec = importlib.util.find_spec("textcnn")
    folder = Path(spec.origin or ".").parent if spec else Path()
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
