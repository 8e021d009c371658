"""Public names of a package that are imported when somebody first asks for them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package whose names are costly to import.

    Args:
        package: the package's ``__name__``.
        modules: by public name the module that has it, such as "teacher.bert".

    Returns:
        What imports a name's module when it is asked for, and raises AttributeError for any other name.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(modules[name]), name)

    return get
