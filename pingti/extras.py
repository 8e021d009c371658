"""What to do where a part of Pingti is not installed. Nothing is published under its name yet."""


def install_hint(extra: str) -> str:
    """How to install one of Pingti's extras, as the part of a sentence.

    Args:
        extra: its name in pyproject.toml, such as "teacher".
    """
    return f"install Pingti with its extra {extra!r} (pip install '/path/to/pingti[{extra}]')"
