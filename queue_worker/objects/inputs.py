"""A job's inputs in an object store: only below allowed addresses, and only as they were accepted."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from pingti import remote
from pingti.corpus.formats import FORMATS
from pingti.corpus.paths import objects_at
from pingti.errors import InputError
from pingti.remote import Entry
from pingti.workspace.storage.cache import changed
from queue_worker.settings import FileStamp, Settings

MOST_OBJECTS = 10_000
"""Of a job: a listing tells all that is kept of one, so that there may be more of them than of files."""
_AT_ONCE = 16


def is_object(given: str) -> bool:
    """Whether an input is in an object store."""
    return remote.of_store(given)


def allowed_objects(settings: Settings, given: str, *, most: int) -> list[Entry]:
    """The objects that an input names: its own, a folder's or a pattern's, in order of their names.

    Args:
        settings: which addresses are allowed.
        given: an address.
        most: objects.

    Raises:
        InputError: it is not allowed, there is none, there are too many, or the store refuses it.
        UnavailableError: the store cannot be reached.
    """
    remote.check_address(given)
    uploads = () if settings.store is None else (remote.joined(settings.store, "uploads"),)
    prefixes = (*settings.input_urls, *uploads)
    if given.rstrip("/") not in settings.input_urls:  # all of what is allowed
        _refuse_outside(given, prefixes, settings.input_urls, "a job's inputs are files", "PINGTI_INPUT_URLS")
    entries = objects_at(given)
    if not entries:
        raise InputError(f"{given!r} names no object of rows ({' '.join(FORMATS)})")
    if len(entries) > most:
        raise InputError(
            f"{given!r} names {len(entries):,} objects; a job may have {MOST_OBJECTS:,}, those of its other "
            "inputs among them: make several jobs of it"
        )
    return entries


def allowed_output(settings: Settings, given: str) -> str:
    """The address of a job's results, if it may write there.

    Raises:
        InputError: it may not.
    """
    remote.check_address(given)
    _refuse_outside(given, settings.output_urls, settings.output_urls, "results go", "PINGTI_OUTPUT_URLS")
    return given.rstrip("/")


def _refuse_outside(
    given: str, prefixes: Iterable[str], shown: Iterable[str], what: str, variable: str
) -> None:
    """Refuse an address that is not below one of some others; a ``..`` leads nowhere."""
    parts = given.partition("://")[2].rstrip("/").split("/")
    inside = any(given.startswith(f"{prefix}/") for prefix in prefixes)
    if not inside or any(part in ("", ".", "..") for part in parts[1:]):
        allowed = ", ".join(shown) or f"none: {variable} names them"
        raise InputError(f"{given[:200]!r} is not below an allowed address; {what} below {allowed}")


def local_input(settings: Settings, address: str, stamp: FileStamp) -> str:
    """Where an input can be read: a local copy, or, of a large one, its own address.

    Raises:
        InputError: it is gone, or not the one that was accepted.
        UnavailableError: the store cannot be reached.
    """
    entry = Entry(address=address, size=stamp.size, tag=stamp.tag or "")
    if stamp.size <= settings.cache_bytes // 4:
        return str(settings.copies.input(entry))
    if remote.look(address) != entry:
        raise changed(address)
    return address


def fetch(
    settings: Settings, inputs: Iterable[tuple[str, FileStamp]], check: Callable[[], None] = lambda: None
) -> None:
    """Make local copies of inputs, several at once, as far as half of the cache goes.

    Args:
        settings: where copies are.
        inputs: addresses and what they were; what is no address is passed over.
        check: called between steps.
    """
    room = settings.cache_bytes // 2
    wanted: list[tuple[str, FileStamp]] = []
    for address, stamp in inputs:
        if is_object(address) and stamp.size <= min(room, settings.cache_bytes // 4):
            room -= stamp.size
            wanted.append((address, stamp))
    if len(wanted) < 2:
        return
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="inputs") as pool:
        copies = [pool.submit(local_input, settings, address, stamp) for address, stamp in wanted]
        try:
            for copy in copies:
                check()
                copy.result()
        finally:
            for copy in copies:
                copy.cancel()


@contextmanager
def named(address: str, place: str) -> Iterator[None]:
    """Have errors about a copy name the input, not the copy.

    Args:
        address: of the input.
        place: of ``local_input``.
    """
    try:
        yield
    except InputError as error:
        if place == address or place not in str(error):
            raise
        raise InputError(str(error).replace(place, address), faults=error.faults) from error
