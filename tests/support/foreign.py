from pathlib import Path


def write_foreign_rooms(folder: Path, *names: str) -> Path:
    """Packages of a user's own whose names are those of rooms; the file that they make when one is executed."""
    marker = folder / "EXECUTED"
    for name in names:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(
            f"from pathlib import Path\nPath({str(marker)!r}).write_text(__name__)\n"
        )
    return marker
