"""What holds for all tests, and where the fixtures that several rooms share come from."""

import os

from hypothesis import settings

# Before torch is imported, and for child processes too. The models here are tiny: a second thread gains
# nothing, and where another process has its core the first spins until it is back, many times longer.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is.
settings.register_profile("pingti", deadline=None)
settings.load_profile("pingti")

pytest_plugins = [
    "tests.support.teachers",
    "tests.support.workspaces",
    "tests.support.command_line",
    "tests.support.object_store",
    "tests.support.rest",
]
