"""The pages: everything from this server, nothing inline, both languages whole."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import api

STATIC = Path(api.__file__).parent / "static"
PAGES = sorted(STATIC.glob("*.html"))
SCRIPTS = sorted(STATIC.glob("*.js"))


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def words() -> dict[str, set[str]]:
    text = (STATIC / "words.js").read_text(encoding="utf-8")
    blocks = re.findall(r"^  (en|zh): \{(.*?)^  \},", text, re.MULTILINE | re.DOTALL)
    return {language: set(re.findall(r'(\w+): "', block)) for language, block in blocks}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_nothing_inline_and_nothing_from_elsewhere(page: Path) -> None:
    elements = Elements(page.read_text(encoding="utf-8")).found
    assert any(tag == "main" for tag, _ in elements)
    for tag, attributes in elements:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            target = attributes.get(name)
            assert target is None or re.match(r"/(?!/)|#|openapi\.json", target), target
            if target and target.startswith("/static/"):
                assert (STATIC / target.removeprefix("/static/")).is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_writes_no_html(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", text)


def test_both_languages_say_everything() -> None:
    spoken = words()
    assert spoken["en"] == spoken["zh"]
    used = {
        attributes["data-word"]
        for tag, attributes in Elements((STATIC / "index.html").read_text(encoding="utf-8")).found
        if "data-word" in attributes
    }
    used |= set(re.findall(r'say\("(\w+)"', (STATIC / "pingti.js").read_text(encoding="utf-8")))
    assert used <= spoken["en"]
    assert spoken["en"] >= {
        "queued",
        "running",
        "finalizing",
        "completed",
        "failed",
        "cancelling",
        "cancelled",
    }


def test_every_element_that_the_script_names_is_there() -> None:
    page = Elements((STATIC / "index.html").read_text(encoding="utf-8")).found
    ids = {attributes["id"] for _, attributes in page if "id" in attributes}
    named = set(re.findall(r'\$\("([\w-]+)"\)', (STATIC / "pingti.js").read_text(encoding="utf-8")))
    assert named <= ids
    labelled = {
        name
        for _, attributes in page
        for name in (attributes.get("for"), attributes.get("aria-labelledby"))
        if name
    }
    assert labelled <= ids
