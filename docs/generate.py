"""Write the pages of the reference from the code that they describe.

``python docs/generate.py`` (or ``make docs-reference``) writes all of them; a test compares them with what
this makes.
"""

import sys
from pathlib import Path

from reference_pages import celery_tasks, definition, errors, metrics, rest, settings

FOLDER = Path(__file__).parent

PAGES = {
    "definition.md": definition.page,
    "settings.md": settings.page,
    "reference/metrics.md": metrics.page,
    "reference/exit-codes.md": errors.exit_codes_page,
    "reference/problems.md": errors.problems_page,
    "reference/celery-tasks.md": celery_tasks.page,
    "reference/rest.md": rest.page,
}
"""Each generated file, and what makes its text."""


def main() -> int:
    """Write the pages."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
