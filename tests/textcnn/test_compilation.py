"""Who waits for the kernels to be compiled is told so, once."""

import os
import subprocess
import sys
from pathlib import Path

_TOLD = "compiling the kernels, once for this installation"


def test_the_first_import_says_that_it_compiles_and_the_second_does_not(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    code = "import numba, textcnn.tokenizer; numba.njit(lambda x: x + 1)(1); print('ready')"
    shown = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
        )
        for _ in range(2)
    ]
    assert [ran.stdout for ran in shown] == ["ready\n", "ready\n"]
    assert (shown[0].stderr.count("\n"), shown[0].stderr.startswith(_TOLD)) == (1, True)
    assert shown[1].stderr == ""  # a user's own functions are none of it
