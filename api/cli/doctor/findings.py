"""What one look of ``pingti doctor`` comes to."""

import importlib.metadata
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a look ended."""

    OK = "ok"
    WARN = "warn"  # works, but something that may be wanted does not
    FAIL = "fail"  # Pingti, or the service as it is set, cannot work so


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look came to."""

    name: str
    state: State
    says: str
    next_step: str = ""
    """What to do about it; empty where nothing is to be done."""


def version_of(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def in_gigabytes(count: int) -> str:
    """So many bytes, for a person."""
    return f"{count / (1 << 30):.1f} GB"
