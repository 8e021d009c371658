"""The files of installed packages that scoring needs, without those of their tests and builds."""

import importlib.metadata
import shutil
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from pingti.errors import UnavailableError

# Of each package what is not needed to import and use it, as patterns of paths. What is not named goes along:
# a package that grows a file still works.
_LEFT_OUT = {
    "numpy": ("*/tests/*", "*.pyi", "numpy/f2py/*", "numpy/distutils/*", "*/include/*", "*.a", "*.pxd"),
    "pyarrow": (
        "pyarrow/tests/*", "pyarrow/include*/*", "pyarrow/src/*", "*.pyi", "*.pxd", "*.pyx", "*.pxi", "*.h",
        "*flight*", "*s3*", "*orc*", "pyarrow/libarrow_python.so", "pyarrow/libarrow_python.so.*.*.*",
    ),
}  # fmt: skip
_ALWAYS_LEFT_OUT = ("../*", "*/__pycache__/*", "*.dist-info/[!lLM]*", "bin/*")  # licenses and METADATA stay


def copy(names: Iterable[str], folder: Path) -> None:
    """Copy installed packages.

    Args:
        names: "numpy" or "pyarrow".
        folder: where they go, as into a folder of Python's path.

    Raises:
        UnavailableError: one is not installed by pip or another installer that lists its files.
    """
    for name in names:
        distribution = importlib.metadata.distribution(name)
        if not distribution.files:
            raise UnavailableError(
                f"{name}: its installation does not list its files; install it by pip, or leave it to a layer"
            )
        patterns = (*_ALWAYS_LEFT_OUT, *_LEFT_OUT[name])
        for file in distribution.files:
            path = file.as_posix()
            if any(fnmatch(path, pattern) for pattern in patterns):
                continue
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target)
