from pathlib import Path


def write_foreign_rooms(folder: Path, *names: str) -> Path:
    """Write packages with the names of rooms; the file that each of them makes when it is executed."""
    marker = folder / "EXECUTED"
    for name in names:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(
            f"from pathlib import Path\nPath({str(marker)!r}).write_text(__name__)\n"
        )
    return marker
