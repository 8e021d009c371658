"""The S3 server of a schedule whose files are in a store."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.object_store import variables
from pingti import remote
from pingti.workspace.storage import Storage

_BUCKET = "chaos"
_FAULTS = "0.02"  # share of the requests


class Store:
    """A server in a process of its own, which outlives the service's faults, and has its own."""

    def __init__(self, folder: Path, seed: int) -> None:
        command = ["--bucket", _BUCKET, "--faults", _FAULTS, "--seed", str(seed)]
        with (folder / "store.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.object_store", *command],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        url = self._process.stdout.readline().decode().strip()
        if not url:
            raise OSError(f"the S3 server did not start; see {folder / 'store.log'}")
        self.environment = {
            **variables(url),
            "PINGTI_STORE": f"s3://{_BUCKET}/pingti",
            "PINGTI_INPUT_URLS": f"s3://{_BUCKET}/inputs",
        }
        os.environ.update(variables(url))  # this process looks into it, too
        remote.forget_connections()
        self._inputs, self._pingti = Storage(f"s3://{_BUCKET}/inputs"), Storage(f"s3://{_BUCKET}/pingti")

    def put(self, path: Path) -> str:
        """Put an input there; returns its address."""
        self._inputs.put_file(path.name, path)
        return self._inputs.at(path.name)

    def mirror(self, home: Path, job: str) -> None:
        """Have a job's results in the folder where a job without a store has them."""
        manifest = self._pingti.get(f"jobs/{job}/manifest.json")
        if manifest is None:
            return
        folder = home / "jobs" / job
        folder.mkdir(parents=True, exist_ok=True)
        document = json.loads(manifest)
        for part in document["parts"]:
            name = part["name"].rpartition("/")[2]
            (folder / name).write_bytes(self._pingti.read(f"jobs/{job}/{part['name']}"))
            part["name"] = name
        if document["errors"]:
            (folder / document["errors"]).write_bytes(self._pingti.read(f"jobs/{job}/errors.jsonl"))
        (folder / "manifest.json").write_text(json.dumps(document), encoding="utf-8")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
