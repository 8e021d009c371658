"""No text of a page overlaps another or is cut off, nothing is wider than the page, and axe finds no fault.

Looked at in a real Chromium at two sizes, in both languages, with everything unfolded.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pingti.workspace.registry import Workspace
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.dashboard import SIZES, VIEWS, Looker, Place, needs_browser, show
from tests.support.rest import serving

pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install 'pingti[dev]'")
pytestmark = needs_browser

REPORTS = ("/v1/tasks/sport/versions/2/report.html", "/v1/tasks/mood/versions/1/report.html")
PAGES = ("/docs", "/problems", *REPORTS)
LOCALES = {"en": "en-GB", "zh": "zh-CN"}
EMPTY = ("jobs", "tasks", "review", "nights", "compare", "tasks/gone")

# The API's page has hundreds of operations, all drawn alike: the first ones stand for them.
UNFOLD = """() => [...document.querySelectorAll("details")].filter((e) => e.checkVisibility()).slice(0, 12)
  .forEach((e) => { e.open = true; })"""

# Faults of the boxes of texts, a sentence each.
BOXES = """() => {
  const faults = [];
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && !e.closest(".hidden, .skip, dialog:not([open]), title, desc, option");
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) faults.push(`the page is ${wide} wide`);
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, own = node.parentElement;
    if (!node.data.trim() || !own || !shown(own)) continue;
    // A table's head that is drawn in its cards is one pixel wide.
    if (own.closest("thead") && own.closest("thead").getBoundingClientRect().width <= 1) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 1 || box.height < 1) continue;
      texts.push({ box, own, text: node.data.trim().slice(0, 40) });
    }
  }
  for (const { box, own, text } of texts) {
    if (box.left < -1 || box.right > innerWidth + 1) faults.push(`outside of the page: ${text}`);
    for (let e = own; e && e !== document.body; e = e.parentElement) {
      const flow = getComputedStyle(e).overflowX;
      if (!(e instanceof SVGSVGElement) && !["hidden", "clip", "auto", "scroll"].includes(flow)) continue;
      const around = e.getBoundingClientRect();
      const beside = box.left < around.left - 1.5 || box.right > around.right + 1.5;
      const beyond = box.top < around.top - 3 || box.bottom > around.bottom + 3;
      if (beside) faults.push(`cut off by ${e.tagName} at its side: ${text}`);
      if (beyond) faults.push(`cut off by ${e.tagName} above or below: ${text}`);
      break;
    }
  }
  for (const e of document.querySelectorAll("button, select, input:not([type=file]), .scroll, pre")) {
    const text = e.textContent.trim().slice(0, 40);
    if (shown(e) && e.scrollWidth > e.clientWidth + 1) faults.push(`${e.tagName} scrolls: ${text}`);
  }
  texts.sort((a, b) => a.box.top - b.box.top);
  texts.forEach((one, i) => {
    for (let j = i + 1; j < texts.length && texts[j].box.top < one.box.bottom; j++) {
      const other = texts[j];
      if (other.own === one.own) continue;
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const down = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (across > 1.5 && down > 4) faults.push(`overlap: ${one.text} / ${other.text}`);
    }
  });
  return faults;
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core; a package brings it, so that no network is needed."""
    package = pytest.importorskip("axe_playwright_python", reason="no axe: pip install 'pingti[dev]'")
    return Path(package.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def violations(page: Any, axe: str) -> list[str]:
    """What axe finds, a line each."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]


def go(page: Any, url: str, path: str, language: str) -> None:
    """Go to a page that is none of the dashboard's."""
    if path in REPORTS:  # is served so that no script runs in it, not even one that measures
        page.goto("about:blank")
        page.set_content(httpx.get(f"{url}{path}", params={"language": language}).text)
    else:
        page.goto(f"{url}{path}")
        page.wait_for_selector("main *:visible")


def unfold(page: Any) -> None:
    """Open what is folded, and let the drawings inside find their width."""
    page.evaluate(UNFOLD)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("size", SIZES)
def test_no_text_of_a_view_overlaps_or_is_cut_off(
    looker: Looker, place: Place, size: str, language: str
) -> None:
    width, height = SIZES[size]
    page = looker.open(viewport={"width": width, "height": height}, locale=LOCALES[language])
    faults = {}
    for view in VIEWS:
        show(page, place.url, view)
        unfold(page)
        faults[view] = page.evaluate(BOXES)
    assert faults == {view: [] for view in VIEWS}
    assert not looker.faults


@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("size", SIZES)
def test_no_text_of_another_page_overlaps_or_is_cut_off(
    looker: Looker, place: Place, size: str, language: str
) -> None:
    width, height = SIZES[size]
    page = looker.open(viewport={"width": width, "height": height}, locale=LOCALES[language])
    faults = {}
    for path in PAGES:
        go(page, place.url, path, language)
        unfold(page)
        faults[path] = page.evaluate(BOXES)
    assert faults == {path: [] for path in PAGES}


@pytest.mark.parametrize(
    ("size", "language", "scheme"),
    [("desk", "en", "light"), ("desk", "zh", "dark"), ("phone", "en", "dark"), ("phone", "zh", "light")],
)
def test_axe_finds_no_violation(
    looker: Looker, place: Place, axe: str, size: str, language: str, scheme: str
) -> None:
    width, height = SIZES[size]
    page = looker.open(
        viewport={"width": width, "height": height},
        locale=LOCALES[language],
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    faults = {}
    for view in VIEWS:
        show(page, place.url, view)
        unfold(page)
        faults[view] = violations(page, axe)
    assert faults == {view: [] for view in VIEWS}


@pytest.mark.parametrize(("size", "scheme"), [("desk", "light"), ("phone", "dark")])
def test_axe_finds_no_violation_on_another_page(
    looker: Looker, place: Place, axe: str, size: str, scheme: str
) -> None:
    width, height = SIZES[size]
    page = looker.open(viewport={"width": width, "height": height}, color_scheme=scheme)
    faults = {}
    for path in PAGES:
        go(page, place.url, path, "zh")
        unfold(page)
        faults[path] = violations(page, axe)
    assert faults == {path: [] for path in PAGES}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A workspace in which nothing is yet, and no worker."""
    workspace = Workspace(tmp_path_factory.mktemp("empty") / "workspace")
    workspace.tasks.mkdir(parents=True)
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root))
        with serving(settings) as client:
            yield str(client.base_url).rstrip("/")


@pytest.mark.parametrize("language", LOCALES)
@pytest.mark.parametrize("size", SIZES)
def test_an_empty_page_says_what_to_do_next(
    browser: Any, empty: str, axe: str, size: str, language: str
) -> None:
    width, height = SIZES[size]
    looker = Looker(browser=browser, url=empty, faults=[])
    page = looker.open(viewport={"width": width, "height": height}, locale=LOCALES[language])
    for view in EMPTY:
        show(page, empty, view, empty=True)
        notes = page.locator(".view .empty:visible")
        notes.first.wait_for()
        # A command, a key of a definition, or a link to where it is done.
        told = " ".join(notes.all_inner_texts())
        links = page.locator(".view:not([hidden]) a").count()
        assert "pingti" in told or "[retrain]" in told or links, (view, told)
        unfold(page)
        assert page.evaluate(BOXES) == [], view
        assert violations(page, axe) == [], view
    assert not looker.faults
    page.context.close()


def test_a_student_alone_is_not_compared_in_silence(browser: Any, workspace: Workspace) -> None:
    for task in ("tech", "topic"):
        workspace.task(task).path.unlink()
    with Processes() as processes, serving(processes.start_valkey(Settings(home=workspace.root))) as client:
        looker = Looker(browser=browser, url=str(client.base_url).rstrip("/"), faults=[])
        page = looker.open("compare")
        page.wait_for_selector("#compared table")
        assert page.locator("#compared .note").first.inner_text().startswith("There is one student alone")
        assert page.evaluate(BOXES) == []
        page.context.close()


def test_the_test_sees_boxes_that_overlap_or_are_cut_off(looker: Looker) -> None:
    page = looker.open("tasks")
    assert page.evaluate(BOXES) == []
    page.evaluate(
        """() => {
          const main = document.querySelector("main");
          main.insertAdjacentHTML("beforeend",
            '<p>the one text</p><p class="b">the other text</p><div class="c"><b>a very long text</b></div>');
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(".b { margin-top: -30px } .c { width: 40px; overflow: hidden; }");
          sheet.insertRule(".c { white-space: nowrap }");
          document.adoptedStyleSheets = [sheet];
        }"""
    )
    faults = json.dumps(page.evaluate(BOXES))
    assert "overlap: the one text / the other text" in faults
    assert "cut off by DIV at its side: a very long text" in faults
