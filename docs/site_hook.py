"""What mkdocs does besides, for the site of ``make docs``.

Pages of the repository's root (CONTRIBUTING.md, ...) become pages of the site, and links between them and
``docs/`` are turned round. Pages in Chinese say so, since a browser chooses its characters by that.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


def on_files(files: Any, *, config: Any) -> Any:
    """Add the pages of the repository's root."""
    for name in ROOT_PAGES:
        files.append(File.generated(config, name, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Let links lead to pages of the site instead of files of the repository."""
    if page.file.src_uri in ROOT_PAGES:
        return markdown.replace("](docs/", "](")
    return re.sub(rf"\]\((?:\.\./)+({'|'.join(map(re.escape, ROOT_PAGES))})", _of_site(page), markdown)


def _of_site(page: Any) -> str:
    return "](" + "../" * page.file.src_uri.count("/") + r"\1"


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Name the language of the pages that are not in English."""
    if page.file.src_uri.startswith("zh/"):
        return output.replace('<html lang="en"', '<html lang="zh-Hans"', 1)
    return output
