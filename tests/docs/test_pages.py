"""The pages hold together: links, examples, lengths, and the names of modules."""

import ast
import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from pingti.workspace import definition
from tests.support.paths import ROOT

READMES = ("README.md", "README.zh-CN.md")
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"))
)
ROOMS = ("pingti", "textcnn", "teacher", "sampling", "replacement", "queue_worker", "api")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(rf"\b(?:{'|'.join((*ROOMS, 'docs', 'tests', 'benchmarks'))})(?:[./]\w+)*/?(?<=[\w/])")


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def fences(page: str, language: str) -> list[str]:
    return [text for kind, text in _FENCE.findall(read(page)) if kind == language]


def prose(page: str) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", read(page))


def anchors(page: str) -> set[str]:
    """The anchors that code hosts make of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_all_pages_are_looked_at() -> None:
    assert {*READMES, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/index.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in _LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        place, _, anchor = unquote(link).partition("#")
        target = (ROOT / page).parent / place if place else ROOT / page
        assert target.resolve().is_relative_to(ROOT), f"{page}: {link} leads out of the repository"
        assert target.is_file(), f"{page}: {link}: no such file"
        if anchor:
            known = anchors(target.resolve().relative_to(ROOT).as_posix())
            assert anchor in known, f"{page}: {link}: no such heading"


def test_the_index_lists_every_page() -> None:
    listed = {link.partition("#")[0] for link in _LINK.findall(read("docs/index.md"))}
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert pages - {"index.md"} <= listed


@pytest.mark.parametrize("name", ["quickstart.md", "tasks.md", "operating.md"])
def test_a_page_in_chinese_has_the_code_and_the_links_of_the_english_one(name: str) -> None:
    pages = (f"docs/{name}", f"docs/zh/{name}")
    english, chinese = ([_without_comments(text) for _, text in _FENCE.findall(read(page))] for page in pages)
    assert english == chinese
    english_rows, chinese_rows = (len(re.findall(r"^\|", read(page), re.MULTILINE)) for page in pages)
    assert english_rows == chinese_rows
    english_parts, chinese_parts = (len(re.findall(r"^#+ ", prose(page), re.MULTILINE)) for page in pages)
    assert english_parts == chinese_parts
    english_targets, chinese_targets = map(_targets, pages)
    assert english_targets == chinese_targets


def _targets(page: str) -> set[str]:
    """The pages that a page links, a translation standing for its original."""
    links = {link for link in _LINK.findall(prose(page)) if "://" not in link and not link.startswith("#")}
    paths = {((ROOT / page).parent / link.partition("#")[0]).resolve().relative_to(ROOT) for link in links}
    return {path.as_posix().replace("docs/zh/", "docs/") for path in paths}


@pytest.mark.parametrize("page", READMES)
def test_a_readme_is_short_and_links_the_other(page: str) -> None:
    (other,) = set(READMES) - {page}
    assert len(read(page).split()) <= 900
    head = read(page).split("\n## ")[0].split("\n\n")[1]
    assert f"]({other})" in head


def test_both_readmes_have_the_same_content() -> None:
    english, chinese = map(read, READMES)
    for pattern in (r"^#+ ", r"^\|", r"^- "):
        assert len(re.findall(pattern, english, re.MULTILINE)) == len(
            re.findall(pattern, chinese, re.MULTILINE)
        )
    assert _pages_of(english) - {READMES[1]} == _pages_of(chinese) - {READMES[0]}
    figures = [re.findall(r"^\|.*\|$", text, re.MULTILINE) for text in (english, chinese)]
    numbers = [[re.findall(r"[\d.,]*\d", row) for row in rows] for rows in figures]
    assert numbers[0] == numbers[1]
    code = [[_without_comments(text) for _, text in _FENCE.findall(page)] for page in (english, chinese)]
    assert code[0] == code[1]


def _pages_of(text: str) -> set[str]:
    """Where a README leads; a page in Chinese is its English one."""
    return {link.partition("#")[0].replace("docs/zh/", "docs/") for link in _LINK.findall(text)}


def _without_comments(code: str) -> list[str]:
    """A code block's lines without what stands behind #: that is in the page's language."""
    lines = [re.sub(r"(^|\s+)# .*$", "", line).rstrip() for line in code.splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize("page", PAGES)
def test_examples_in_python_compile_and_import_public_names(page: str) -> None:
    for code in fences(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ROOMS:
                module = importlib.import_module(node.module or "")
                public = getattr(module, "__all__", None)
                for name in node.names:
                    assert public is None or name.name in public, f"{page}: {node.module}: {name.name}"


def test_examples_are_in_the_pages_that_promise_them() -> None:
    for page in (*READMES, "docs/python.md", "docs/quickstart.md", "docs/zh/quickstart.md"):
        assert fences(page, "python")
    for page in (*READMES, "docs/tasks.md", "docs/quickstart.md", "docs/zh/tasks.md"):
        assert fences(page, "toml")


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_definitions_are_definitions(page: str) -> None:
    for text in fences(page, "toml"):
        assert tomllib.loads(text)
        assert definition.parse(text).classes


def test_bodies_that_curl_sends_are_json() -> None:
    for page in (*READMES, "docs/jobs.md"):
        (body,) = re.findall(r"-d '(.*)'", read(page))
        assert set(json.loads(body)) == {"inputs", "tasks", "text", "id"}


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/cli.md", "CONTRIBUTING.md"])
def test_every_module_and_file_that_is_named_is_there(page: str) -> None:
    names = set(_named(read(page)))
    assert names, "no name was recognised"
    missing = sorted(name for name in names if not _exists(name))
    assert missing == []


def _named(text: str) -> Iterator[str]:
    """Paths and dotted names of rooms, in prose, code and figures; words of a sentence are none."""
    for name in _NAME.findall(text):
        if "/" in name or "." in name:
            yield name


def _exists(name: str) -> bool:
    """Whether ``name`` is a file, a folder, a module, or a name at the top of a module."""
    if "/" in name:
        path = ROOT / name
        return path.is_dir() if name.endswith("/") else path.exists()
    parts = name.split(".")
    if (ROOT / Path(*parts)).is_dir() or (ROOT / Path(*parts)).with_suffix(".py").is_file():
        return True
    module = (ROOT / Path(*parts[:-1])).with_suffix(".py")
    if not module.is_file():
        module = ROOT / Path(*parts[:-1]) / "__init__.py"
    return module.is_file() and parts[-1] in _top_names(module)


def _top_names(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_names_that_are_not_there_are_recognised() -> None:
    text = "`pingti/nowhere.py`, textcnn.nowhere, `replacement.training.loop.nowhere`, `api/rest/nowhere/`"
    assert [_exists(name) for name in _named(text)] == [False] * 4
    text = (
        "`pingti/errors.py`, textcnn.student, `replacement.training.loop.replace`, `api/rest/`. teacher. Then"
    )
    assert [_exists(name) for name in _named(text)] == [True] * 4


def test_the_errors_that_operators_look_up_are_said_by_the_code() -> None:
    """Each quoted sentence, but for its ellipses, stands in the source."""
    text = read("docs/operating.md")
    (table,) = re.findall(r"^\| sentence \| .*?(?=\n\n)", text, re.MULTILINE | re.DOTALL)
    sentences = [row.split(" | ")[0] for row in table.splitlines()[2:]]
    sources = (path.read_text(encoding="utf-8") for room in ROOMS for path in (ROOT / room).glob("**/*.py"))
    # Strings that are written one behind the other are one.
    code = re.sub(r'"\s+f?"', "", "\n".join(sources)).replace("{caller.role}", "read")
    code = code.replace("{needed}", "submit").replace("{settings.host}", "0.0.0.0")
    assert len(sentences) > 15
    for sentence in sentences:
        for quoted in re.findall(r"`([^`]+)`", sentence):
            for piece in re.split(r"'?…'?", quoted):
                assert piece.strip() in code, f"no error says {piece.strip()!r}"
