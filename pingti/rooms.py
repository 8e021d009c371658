"""Pingti's packages beside this one, and whether Python takes somebody else's of the same name for them.

``api``, ``teacher`` and ``sampling`` are names that a user's own project may hold as well, and the folder in
which Python is started comes before the installed packages. Nothing is imported here to find out.
"""

import warnings
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from pingti.errors import UnavailableError

ROOMS = ("textcnn", "teacher", "sampling", "replacement", "queue_worker", "api")
_HOME = Path(__file__).parent.parent


class ForeignRoomWarning(UserWarning):
    """A package of Pingti's is hidden by another file of the same name."""


def foreign_rooms(names: Iterable[str] = ROOMS) -> dict[str, str]:
    """Find which of Pingti's packages Python would take from somewhere else.

    Args:
        names: the packages to look for.

    Returns:
        Of every package that another file hides, the path of that file (of a folder without
        ``__init__.py``, the folder). A package that is nowhere is not among them.
    """
    hiding = {}
    for name in names:
        try:
            spec = find_spec(name)
        except ValueError:  # a module that somebody put into sys.modules without a spec
            hiding[name] = "a module without a file"
            continue
        if spec is not None and not _is_ours(spec):
            hiding[name] = spec.origin or str(next(iter(spec.submodule_search_locations or ()), "no file"))
    return hiding


def require(names: Iterable[str] = ROOMS) -> None:
    """See to it that packages of Pingti's can be imported.

    Args:
        names: the packages that are needed.

    Raises:
        UnavailableError: another file hides one of them.
    """
    if hiding := foreign_rooms(names):
        raise UnavailableError(_sentence(hiding))


def warn_of_foreign_rooms() -> None:
    """Warn whoever imports ``pingti`` of packages that other files hide."""
    if hiding := foreign_rooms():
        warnings.warn(_sentence(hiding), ForeignRoomWarning, stacklevel=3)


def _is_ours(spec: ModuleSpec) -> bool:
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    ours = _HOME / spec.name
    return folders == [ours] or [folder.resolve() for folder in folders] == [ours.resolve()]


def _sentence(hiding: Mapping[str, str]) -> str:
    places = ", ".join(f"{name} is {place}" for name, place in hiding.items())
    return (
        f"other files hide packages of Pingti: {places}; to use what needs them, rename those files, "
        "or start Python with -P or in another folder"
    )
