"""The pages: everything from this server, nothing inline, both languages whole."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import api
from api.rest.app import create_app
from queue_worker.celery_app import QUEUES
from queue_worker.jobs.models import FINALIZE, PLAN, JobStatus
from queue_worker.retraining.runs import RunState
from queue_worker.settings import Settings

STATIC = Path(api.__file__).parent / "dashboard"
PAGES = sorted(STATIC.glob("*.html"))
SCRIPTS = sorted(STATIC.glob("*.js"))


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def words() -> dict[str, dict[str, str]]:
    text = (STATIC / "words.js").read_text(encoding="utf-8")
    blocks = re.findall(r"^  (en|zh): \{(.*?)^  \},", text, re.MULTILINE | re.DOTALL)
    entry = re.compile(r'(?:^|[{,])\s*"?([\w ]+?)"?: "((?:[^"\\]|\\.)*)"', re.MULTILINE)
    return {language: dict(entry.findall(block)) for language, block in blocks}


def scripts() -> str:
    return "".join(script.read_text(encoding="utf-8") for script in SCRIPTS if script.name != "words.js")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_nothing_inline_and_nothing_from_elsewhere(page: Path) -> None:
    elements = Elements(page.read_text(encoding="utf-8")).tags
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
    text = script.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")  # a name, not a place
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", text)


def test_both_languages_say_everything_with_the_same_values() -> None:
    spoken = words()
    assert spoken["en"].keys() == spoken["zh"].keys()
    for word, text in spoken["en"].items():
        assert text
        assert spoken["zh"][word]
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", spoken["zh"][word])), word
    used = {
        attributes[name]
        for page in PAGES
        for _, attributes in Elements(page.read_text(encoding="utf-8")).tags
        for name in ("data-word", "data-label")
        if attributes.get(name)
    }
    used |= set(re.findall(r'say\("(\w+)"', scripts()))
    used |= {*map(str, JobStatus), *map(str, RunState)}
    assert used <= spoken["en"].keys()


def test_every_word_is_used() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    # States and events come from the server and are looked up as they are.
    known = {
        *JobStatus,
        *RunState,
        "rolled back",
        "nothing",
        "retrain",
        *(f"queue_{name}" for name in QUEUES),
    }
    known |= {PLAN, FINALIZE}
    for word in words()["en"].keys() - known:
        assert f'"{word}"' in scripts() + pages, word


def test_every_operation_has_a_chinese_summary() -> None:
    text = (STATIC / "docs_summaries.js").read_text(encoding="utf-8")
    summaries = dict(re.findall(r'^  "([^"]+)": "([^"]+)",$', text, re.MULTILINE))
    paths = create_app(Settings()).openapi()["paths"]
    assert summaries.keys() == {f"{method} {path}" for path, own in paths.items() for method in own}
    assert all(re.search("[\u4e00-\u9fff]", summary) for summary in summaries.values())


def test_every_field_on_the_page_of_the_api_is_told_in_chinese() -> None:
    """docs.js shows parameters and the fields of bodies and answers, but no fields of fields."""
    document = create_app(Settings()).openapi()

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = document
        if "$ref" not in schema:
            return schema
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return found

    shown = set()
    for operation in (own for path in document["paths"].values() for own in path.values()):
        for parameter in operation.get("parameters", ()):
            shown.add(parameter.get("description") or parameter["schema"].get("description"))
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for kind, content in (
            (kind, own) for part in contents for kind, own in part.get("content", {}).items()
        ):
            if not kind.startswith("application/problem"):
                for field in resolved(content.get("schema", {})).get("properties", {}).values():
                    shown.add(field.get("description") or resolved(field).get("description"))
    text = (STATIC / "docs_fields.js").read_text(encoding="utf-8")
    told = json.loads(text[text.index("{") :].strip().removesuffix(",\n};") + "}")
    assert told.keys() == shown - {None, ""}, "docs_fields.js"
    assert all(re.search("[\u4e00-\u9fff]", chinese) or chinese.isascii() for chinese in told.values())


def test_every_element_that_the_scripts_name_is_there() -> None:
    page = [tag for page in PAGES for tag in Elements(page.read_text(encoding="utf-8")).tags]
    ids = {attributes["id"] for _, attributes in page if "id" in attributes}
    named = set(re.findall(r'\$\("([\w-]+)"\)', scripts()))
    created = set(re.findall(r'\bid: "([\w-]+)"', scripts()))
    assert named <= ids | created
    labelled = {
        name
        for _, attributes in page
        for name in (attributes.get("for"), attributes.get("aria-labelledby"))
        if name
    }
    assert labelled <= ids


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_of_one_subject_and_imports_what_is_there(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert text.startswith("// ")
    assert len(text.splitlines()) < 400
    for names, target in re.findall(r"import (?:\* as \w+|\{([^}]*)\}) from \"\./([\w.]+)\"", text):
        other = (STATIC / target).read_text(encoding="utf-8")
        for name in (part.strip() for part in names.split(",") if part.strip()):
            assert re.search(rf"export (async )?(const|function|class) {re.escape(name)}(?!\w)", other), name
            uses = re.findall(rf"(?<!\w)(?<![\w)]\.){re.escape(name)}(?!\w)", text)
            assert len(uses) > 1, f"{name} is not used"


def _luminance(colour: str) -> float:
    values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_the_contrast_that_wcag_2_asks_for(theme: int) -> None:
    sheet = (STATIC / "pingti.css").read_text(encoding="utf-8")
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", sheet)
    colours = {name: _luminance((light, dark)[theme]) for name, light, dark in pairs}

    def contrast(a: str, b: str) -> float:
        low, high = sorted((colours[a], colours[b]))
        return (high + 0.05) / (low + 0.05)

    for ground in ("ground", "panel"):
        for name in ("ink", "soft", "main", "good", "warn", "bad", "s0", "s1", "s2", "s3"):
            assert contrast(name, ground) >= 4.5, f"{name} on {ground}"  # text: 1.4.3
        assert contrast("edge", ground) >= 3  # a control's border: 1.4.11
    assert contrast("on-main", "main") >= 4.5
