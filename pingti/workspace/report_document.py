"""A version's report.json as it stands there, beside its page for people."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ReportDocument(dict[str, Any]):
    """What report.json holds; a notebook shows the page ``page`` of it.

    Examples:
        >>> import pingti
        >>> report = pingti.Workspace.open().task("sport").report()
        >>> report["gate"]["passed"], report["holdout"]["f1"]
        (True, 1.0)
    """

    def __init__(self, document: Mapping[str, Any], *, page: Path) -> None:
        """``page``: the report as HTML, which stands alone."""
        super().__init__(document)
        self.page = page

    def _repr_html_(self) -> str | None:
        """The page in a frame of its own, so that its style stays inside; None where there is no page."""
        try:
            page = self.page.read_text(encoding="utf-8")
        except OSError:
            return None
        return (
            f'<iframe srcdoc="{html.escape(page)}" sandbox '
            'style="width: 100%; height: 40em; border: 0"></iframe>'
        )
