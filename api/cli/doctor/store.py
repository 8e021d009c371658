"""The object store that PINGTI_STORE names: whether it is reached, what may be done there, and its clock."""

import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from api.cli.doctor.findings import Finding, State, version_of
from api.cli.doctor.service import known_settings
from pingti import remote
from pingti.errors import InputError, PingtiError, UnavailableError

_CONTENT = b"pingti doctor"
_CLOCK_SECONDS = 300.0  # S3 refuses requests that seem 15 minutes too old or too new
_SKEWED = re.compile(r"skewed|difference between the request time", re.IGNORECASE)
_SET_CLOCK = "set this machine's clock, best by NTP"
_REACH = "start the store, or mend PINGTI_STORE and what leads to it (docs/storage.md)"
_ALLOW = "let the credentials read, write, list and delete below PINGTI_STORE (docs/storage.md)"


def look_at_store(home: Path) -> Iterator[Finding]:
    """List, write, read and delete an object of the look's own; compare the clocks."""
    if version_of("pydantic-settings") is None:
        return  # the extra "service" has a finding of its own
    settings = known_settings(home)
    if settings is None or settings.storage is None:
        return
    storage = settings.storage
    key, start = f"doctor/{secrets.token_hex(8)}", time.time()
    written: list[float] = []

    def read() -> None:
        if storage.read(key) != _CONTENT:
            raise InputError(f"{storage.at(key)}: holds other bytes than were written")
        written.append(remote.written_at(storage.at(key)))

    looks: list[tuple[str, Callable[[], object]]] = [
        ("list", lambda: storage.entries("doctor")),
        ("write", lambda: storage.put_bytes(key, _CONTENT)),
        ("read", read),
        ("delete", lambda: storage.delete(key)),
    ]
    failed = False
    for what, do in looks:
        try:
            do()
        except PingtiError as error:
            failed = True
            yield _failure(storage.address, what, error)
            if what == "write" or isinstance(error, UnavailableError):
                break  # what comes next would fail, too
    if not failed:
        says = f"{storage.address}: may be listed, written, read and deleted"
        yield Finding(name="store", state=State.OK, says=says)
    if written:
        yield _clock(written[0], start, time.time())


def _failure(address: str, what: str, error: PingtiError) -> Finding:
    reason = " ".join(str(error).split())
    if _SKEWED.search(reason):
        next_step = _SET_CLOCK
    else:
        next_step = _REACH if isinstance(error, UnavailableError) else _ALLOW
    says = f"{address}: cannot {what}: {reason}"
    return Finding(name=f"store, {what}", state=State.FAIL, says=says, next_step=next_step)


def _clock(written: float, start: float, end: float) -> Finding:
    """Whether the store's clock and this machine's agree.

    Args:
        written: when an object was written, by the store's clock, in whole seconds; Unix seconds.
        start: before it was written, by this machine's.
        end: after it was.
    """
    ahead = written - end if written > end else min(0.0, written + 1 - start)
    if abs(ahead) <= _CLOCK_SECONDS:
        return Finding(name="store's clock", state=State.OK, says="agrees with this machine's")
    place = "ahead of" if ahead > 0 else "behind"
    says = f"{abs(ahead):,.0f} s {place} this machine's; stores refuse requests that seem too old or too new"
    return Finding(name="store's clock", state=State.FAIL, says=says, next_step=_SET_CLOCK)
