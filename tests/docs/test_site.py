"""The site: every page is in its navigation, it builds strictly, and its pages need no other host."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT

yaml = pytest.importorskip("yaml", reason="transformers brings PyYAML along")

ROOT_PAGES = {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
"""Pages that docs/site_hook.py adds."""


class Loader(yaml.SafeLoader):  # type: ignore[misc,name-defined]
    """Takes values that name functions of Python for nothing."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def configuration() -> dict[str, Any]:
    document: dict[str, Any] = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader)
    return document


def pages_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(entry)


def test_every_page_is_in_the_navigation_once() -> None:
    listed = list(pages_of(configuration()["nav"]))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("**/*.md")}
    assert sorted(listed) == sorted(pages | ROOT_PAGES)


def test_warnings_end_a_build_and_fonts_are_the_readers_own() -> None:
    site = configuration()
    assert site["strict"] is True
    assert site["theme"]["font"] is False
    assert {"search"} <= {name for plugin in site["plugins"] for name in plugin}


def test_the_python_reference_has_every_public_name() -> None:
    import pingti

    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    names = {path.rpartition(".")[2] for path in re.findall(r"^::: (\S+)$", text, re.MULTILINE)}
    assert set(pingti.__all__) <= names


class Outside(HTMLParser):
    """Collects what a page loads from other hosts; links to follow are none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.classes |= set(values.get("class", "").split())
        places = [values.get(name, "") for name in ("src", "srcset", "data", "poster")]
        if tag == "link":
            places.append(values.get("href", ""))
        self.loaded += [place for place in places if re.match(r"\s*(https?:)?//", place)]


def test_what_a_page_loads_from_elsewhere_is_seen() -> None:
    page = Outside()
    page.feed(
        '<a href="https://a.example"></a><script src="https://b.example/x.js"></script>'
        '<link rel="stylesheet" href="//c.example/x.css"><img src="d.png" class="e f">'
    )
    assert page.loaded == ["https://b.example/x.js", "//c.example/x.css"]
    assert page.classes == {"e", "f"}


def test_the_site_builds_strictly_and_needs_no_network(tmp_path: Path) -> None:
    if any(find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")):
        pytest.skip("mkdocs is not installed: make docs installs it and builds the site")
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(site)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stderr
    pages = list(site.glob("**/*.html"))
    assert len(pages) > 30
    for path in pages:
        page = Outside()
        page.feed(path.read_text(encoding="utf-8"))
        assert page.loaded == [], path
        assert "mermaid" not in page.classes, f"{path}: its script would come from another host"
    for path in site.glob("**/*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path
    assert '<html lang="zh-Hans"' in (site / "zh" / "quickstart.html").read_text(encoding="utf-8")
