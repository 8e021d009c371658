"""A model folder for SageMaker, or its model.tar.gz: what lies at /opt/ml/model of an endpoint.

``api.sagemaker`` answers from such a folder.
"""

import gzip
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pingti import files
from pingti.exporting import bundle
from pingti.inference.pins import Pin
from pingti.workspace.registry import Workspace

_PACKED = (".tar.gz", ".tgz")


def write(workspace: Workspace, pins: Sequence[Pin], path: Path) -> None:
    """Write the students of some pins; they appear at the end, whole.

    Args:
        workspace: where the students are.
        pins: of ``pingti.inference.pins.pin``.
        path: a name that ends in .tar.gz or .tgz; any other becomes a folder.

    Raises:
        NotFoundError: a task or a version is gone.
        ArtifactError: a student is damaged.
    """
    if not path.name.endswith(_PACKED):
        with files.new_folder(path) as folder:
            bundle.write(workspace, pins, folder)
        return
    with tempfile.TemporaryDirectory(prefix="pingti-export-") as temporary:
        bundle.write(workspace, pins, Path(temporary))
        with files.replacing(path) as unfinished:
            _pack(Path(temporary), unfinished)


def _pack(folder: Path, path: Path) -> None:
    """Pack a folder's content; the same content makes the same bytes."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for source in sorted(folder.rglob("*")):
            entry = archive.gettarinfo(source, source.relative_to(folder).as_posix())
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if source.is_dir() else 0o644
            if source.is_dir():
                archive.addfile(entry)
                continue
            with source.open("rb") as content:
                archive.addfile(entry, content)
