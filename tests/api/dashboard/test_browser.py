"""The dashboard in a real headless Chromium, against a real server, broker and worker."""

import itertools
import json
import re
from pathlib import Path

import pyarrow.csv
import pytest
from pydantic import SecretStr

from pingti.corpus.reader import Columns
from queue_worker.celery_app import connect
from queue_worker.jobs.models import PLAN
from queue_worker.jobs.store import JobStore
from queue_worker.retraining.runs import RunState, RunStore
from tests.support.dashboard import MOODS, VIEWS, Looker, Place, needs_browser, show
from tests.support.rest import serving

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install 'pingti[dev]'")
pytestmark = needs_browser


def test_a_job_from_the_form_to_its_results(looker: Looker, place: Place, tmp_path: Path) -> None:
    rows = [f"{n},goal match team coach league {n}" for n in range(2000)]
    path = tmp_path / "texts.csv"
    path.write_text("\n".join(["key,text", *rows]) + "\n")
    page = looker.open()
    page.get_by_text("New job", exact=True).click()
    page.get_by_label("Files").set_input_files(path)
    # Columns are picked from the file's header.
    playwright.expect(page.locator("#text-column")).to_have_value("text")
    playwright.expect(page.locator("#columns-note")).to_have_text("Columns of the file: key, text")
    page.get_by_label("Column of the id").select_option("key")
    page.get_by_role("button", name="Submit").click()
    assert page.locator("#job-fault").inner_text() == "Choose a task."
    page.get_by_label("sport", exact=True).check()
    page.get_by_label("tech@strict", exact=True).check()
    page.get_by_label("Priority, 0 first").select_option("2")
    page.get_by_role("button", name="Submit").click()
    card = page.locator('.job:has-text("tech@strict")')
    playwright.expect(card).to_have_attribute("data-status", "completed", timeout=120_000)
    assert card.locator(".names").inner_text() == "sport, tech@strict"
    assert card.locator(".rows").inner_text() == "2,000 rows"
    assert card.locator(".level").inner_text() == "priority 2"
    with page.expect_download() as download:
        card.get_by_role("link", name=re.compile("as CSV")).click()
    download.value.save_as(tmp_path / "results.csv")
    results = pyarrow.csv.read_csv(tmp_path / "results.csv")
    assert results.num_rows == 2000
    assert results.column_names == ["id", "sport", "sport_score", "tech", "tech_score"]
    assert set(results.column("sport").to_pylist()) == {"yes"}
    assert not looker.faults


def test_without_a_choice_the_priority_is_the_tasks_own(looker: Looker, place: Place) -> None:
    own = place.workspace.task("topic").definition.priority
    assert own != 5  # as of a job's that asks for nothing
    page = looker.open()
    page.get_by_text("New job", exact=True).click()
    page.get_by_label("Or paths").fill("texts.csv")
    page.get_by_label("topic", exact=True).check()
    page.get_by_role("button", name="Submit").click()
    card = page.locator('.job:has(.names:text-is("topic"))')
    playwright.expect(card.locator(".level")).to_have_text(f"priority {own}")
    assert not looker.faults


def test_what_the_server_refuses_is_said_in_the_form(looker: Looker, place: Place) -> None:
    page = looker.open()
    page.get_by_text("New job", exact=True).click()
    page.get_by_label("Or paths").fill("/etc/passwd")
    page.get_by_label("sport", exact=True).check()
    page.get_by_role("button", name="Submit").click()
    playwright.expect(page.locator("#job-fault")).to_contain_text("/etc/passwd")
    assert page.get_by_role("button", name="Submit").is_enabled()


def test_a_running_job_is_cancelled_after_a_question(looker: Looker, place: Place, tmp_path: Path) -> None:
    big = place.workspace.root / "big.csv"
    big.write_text("text\n" + "goal match team coach\n" * 400_000)
    page = looker.open()
    page.get_by_text("New job", exact=True).click()
    page.get_by_label("Or paths").fill("\n".join([str(big)] * 4))
    page.get_by_label("topic", exact=True).check()
    page.get_by_role("button", name="Submit").click()
    card = page.locator('.job:has-text("topic")').first
    card.get_by_role("button", name=re.compile("Cancel job")).click()
    page.get_by_role("button", name="Keep it running").click()
    assert card.get_attribute("data-status") in ("queued", "running")
    card.get_by_role("button", name=re.compile("Cancel job")).click()
    page.get_by_role("button", name="Cancel the job").click()
    playwright.expect(card).to_have_attribute("data-status", "cancelled", timeout=120_000)
    # What was finished can be had; where nothing was, it says so and offers nothing.
    playwright.expect(card.locator(".rows")).to_have_text(re.compile(r"^[\d,]+( of [\d,]+)? rows$"))
    none = card.locator(".rows").inner_text() == "0 rows" or card.locator(".rows").inner_text().startswith(
        "0 of"
    )
    assert (card.get_by_role("link", name=re.compile("as CSV")).count() == 0) == none


def test_a_job_that_is_cancelled_before_its_first_row_offers_no_results(looker: Looker, place: Place) -> None:
    with connect(place.settings) as client:
        store = JobStore(client)  # publishes nothing: nobody begins it
        made = {"inputs": ["/early.csv"], "columns": Columns(), "pins": [], "priority": 9, "metadata": {}}
        job = store.create(**made, settings=place.settings).job
        store.cancel(job.id)
    card = looker.open().locator(f'.job[data-id="{job.id}"]')
    playwright.expect(card.locator(".rows")).to_have_text("0 rows")
    playwright.expect(card.locator(".actions a")).to_have_count(0)
    assert not looker.faults


def test_a_retraining_is_cancelled_after_a_question_that_names_it(looker: Looker, place: Place) -> None:
    with connect(place.settings) as client:
        runs = RunStore(client)
        run = runs.demand("topic", who="me")  # nobody retrains here: it stays queued
        page = looker.open("tasks/topic")
        page.get_by_role("button", name=f"Cancel retraining {run.id}").click()
        assert f"Cancel retraining {run.id}?" in page.locator("#sure-text").inner_text()
        page.locator("#sure-no").click()
        assert runs.get(run.id).state is RunState.QUEUED
        page.get_by_role("button", name=f"Cancel retraining {run.id}").click()
        page.get_by_role("button", name="Cancel the retraining").click()
        row = page.locator("#one-task tr", has_text="cancelled")
        playwright.expect(row).to_be_visible()
        assert runs.get(run.id).state is RunState.CANCELLED
        playwright.expect(page.get_by_role("button", name="Cancel retraining")).to_have_count(0)
    assert not looker.faults


def test_a_running_job_names_the_worker_of_each_shard(looker: Looker, place: Place) -> None:
    page = looker.open()
    with connect(place.settings) as client:
        store = JobStore(client)  # publishes nothing: the job is only this test's
        made = {"inputs": ["/a.csv"], "columns": Columns(), "pins": [], "priority": 9, "metadata": {}}
        job = store.create(**made, settings=place.settings).job
        assert store.claim(job.id, PLAN, worker="classify@there-7", lease_seconds=60)
        card = page.locator(f'.job[data-id="{job.id}"]')
        playwright.expect(card.locator(".workers")).to_have_text("plan on classify@there-7")
        store.cancel(job.id)
    assert not looker.faults


@pytest.mark.parametrize(
    ("locale", "decided", "lacking"),
    [
        (
            "en-GB",
            "sport decided by student 95,000, teacher 4,100, student (not sure) 900",
            "waits for a worker",
        ),
        (
            "zh-CN",
            "sport 的判断者：学生 95,000，教师 4,100，学生（没有把握） 900",
            "等待",
        ),
    ],
)
def test_a_job_of_a_cascade_says_who_decided_and_what_it_waits_for(
    looker: Looker, locale: str, decided: str, lacking: str
) -> None:
    page = looker.open(locale=locale)
    card = page.locator('.job:has-text("cascade.parquet")')
    playwright.expect(card.locator(".decided")).to_have_text(decided)
    playwright.expect(card.locator(".waits")).to_contain_text(lacking)
    assert not looker.faults


def test_a_task_is_drawn_and_told_in_tables(looker: Looker, place: Place) -> None:
    page = looker.open("tasks")
    page.get_by_role("link", name="sport").click()
    first = page.locator("figure", has_text="F1, precision and recall by version")
    playwright.expect(first.locator("svg circle").first).to_be_visible()
    assert page.evaluate("document.activeElement.textContent") == "sport"
    assert first.locator("svg title").first.text_content() == "F1, precision and recall by version"
    assert "F1: 0.939 at 1, 0.944 at 2." in first.locator("svg desc").text_content()
    first.get_by_text("As a table").click()
    assert first.locator("tbody tr").nth(1).inner_text().split() == ["2", "0.944", "0.970", "0.920"]
    drawn = page.locator("figcaption").all_inner_texts()
    assert drawn[:3] == [
        "F1, precision and recall by version",
        "Thresholds by day",
        "Agreement with the teacher in use, by day",
    ]
    assert {"By round of the training", "By day of the held-out rows"} <= set(drawn)
    assert "Thresholds by day: default" in drawn  # what each stretch alone would choose
    assert "Thresholds by day: strict" not in drawn
    page.locator("summary", has_text="clearest disagreements").click()
    assert page.get_by_text("<b>the match</b>").is_visible()  # a text, never markup
    page.get_by_role("button", name="Promote version 2").click()
    page.locator("#sure-yes").click()
    playwright.expect(page.locator("#one-task dl dd").first).to_have_text("version 2", timeout=15_000)
    assert place.workspace.task("sport").current() == 2
    assert not looker.faults


def test_rows_are_labelled_by_keyboard_alone(looker: Looker, place: Place) -> None:
    page = looker.open("jobs")
    for _ in range(12):  # Tab to the view's link, as somebody without a mouse does
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.view") == "review":
            break
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#desk")).to_be_visible()
    page.locator("#review-task").focus()
    page.keyboard.type("sport")
    playwright.expect(page.locator("#row-text")).to_have_text("the match of the week")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "desk"
    page.keyboard.press("2")  # yes; goes on to the next row
    playwright.expect(page.locator("#row-text")).to_have_text("a film about tennis")
    page.keyboard.press("2")
    page.keyboard.press("u")  # taken back
    playwright.expect(page.locator("#row-text")).to_have_text("a film about tennis")
    assert page.locator("#review [aria-pressed=true]").count() == 0
    page.keyboard.press("1")
    page.keyboard.press("j")
    playwright.expect(page.locator("#row-text")).to_have_text("the coach left")
    page.keyboard.press("ArrowLeft")
    playwright.expect(page.locator("#row-text")).to_have_text("bread and games")
    playwright.expect(page.locator("#review-state")).to_contain_text("all sent", timeout=15_000)
    path = place.workspace.task("sport").folder / "labels.jsonl"
    labels = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["text"]: line["label"] for line in labels} == {
        "the match of the week": "yes",
        "a film about tennis": "no",
    }
    assert not looker.faults


@pytest.mark.parametrize("width", [360, 390, 1180, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_and_can_be_read(looker: Looker, place: Place, scheme: str, width: int) -> None:
    page = looker.open(
        viewport={"width": width, "height": 780},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 380) == (scheme == "light")
    for view in VIEWS:
        show(page, place.url, view)
        # Nothing is wider than the page; what needs more room scrolls within its own place.
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert page.evaluate(CONTRAST) == [], view
    assert not looker.faults


# Texts whose contrast with the nearest ground is below WCAG 2's 4.5 (disabled controls are exempt there).
CONTRAST = """() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return light(colour);
    }
    return 1;
  };
  const bad = [];
  for (const e of document.body.querySelectorAll("*")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest(":disabled, .hidden, .skip, dialog:not([open])")) continue;
    const style = getComputedStyle(e);
    const ink = light(rgb(e instanceof SVGElement ? style.fill : style.color));
    const [a, b] = [ink, ground(e)].sort((x, y) => x - y);
    if ((b + 0.05) / (a + 0.05) < 4.5) bad.push(`${e.tagName}.${e.className}: ${e.textContent.slice(0, 30)}`);
  }
  return bad;
}"""


def test_every_control_and_picture_has_a_name(looker: Looker, place: Place) -> None:
    page = looker.open()
    page.get_by_text("New job", exact=True).click()
    tree = page.context.new_cdp_session(page)
    named = {
        "button",
        "link",
        "textbox",
        "combobox",
        "checkbox",
        "img",
        "image",
        "progressbar",
        "region",
        "navigation",
    }
    for view in VIEWS:
        show(page, place.url, view)
        nodes = tree.send("Accessibility.getFullAXTree")["nodes"]
        shown = [node for node in nodes if not node["ignored"]]
        roles = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown]
        assert [role for role, name in roles if role in named and not name.strip()] == [], view
        assert [role for role, _ in roles].count("main") == 1
        assert {role for role, _ in roles} >= {"banner", "navigation", "heading", "status"}, view
        heads = page.locator("h1, h2, h3, h4").evaluate_all(
            "all => all.filter(e => e.checkVisibility()).map(e => Number(e.tagName[1]))"
        )
        assert all(after - before <= 1 for before, after in itertools.pairwise(heads)), heads
        ids = page.locator("[id]").evaluate_all("all => all.map(e => e.id)")
        assert len(ids) == len(set(ids))
        assert page.locator("[tabindex]").evaluate_all("all => all.filter(e => e.tabIndex > 0).length") == 0


def test_in_chinese_nothing_stays_english(looker: Looker, place: Place) -> None:
    page = looker.open(locale="zh-CN")
    assert page.evaluate("document.documentElement.lang") == "zh"
    for view in VIEWS:
        show(page, place.url, view)
        texts = page.locator(
            "h2, h3, h4, th, dt, label, legend, summary, button, nav a, figcaption, .note"
        ).evaluate_all("all => all.filter(e => e.checkVisibility()).map(e => e.innerText.trim())")
        own = {"English", "F1", "JSON", "Pingti", "sport", "tech", "topic", "default", "strict"}
        own |= {"textcnn", "ngram", "transformer"}  # as definitions name them
        own |= {"mood", "bare", "broken", "broken document", *MOODS}
        english = [t for t in texts if re.fullmatch(r"[A-Za-z][A-Za-z ,.'-]*", t) and t not in own]
        assert english == [], view
    page.get_by_role("button", name="English").click()
    assert page.evaluate("document.documentElement.lang") == "en"
    page.reload()
    page.wait_for_selector(".view:not([hidden])")
    assert page.get_by_role("link", name="Retraining").is_visible()
    assert not looker.faults


def test_a_server_with_a_key_asks_for_it(looker: Looker, place: Place, tmp_path: Path) -> None:
    settings = place.settings.model_copy(update={"api_key": SecretStr("ключ-of-the-test")})
    with serving(settings) as client:
        page = looker.browser.new_context(locale="en-GB").new_page()
        page.goto(str(client.base_url))
        page.get_by_label("This server asks for your key").fill("wrong")
        page.keyboard.press("Enter")
        playwright.expect(page.locator("#key-fault")).to_have_text("This server does not know that key.")
        assert page.locator(".view:not([hidden])").count() == 0
        page.get_by_label("This server asks for your key").fill("ключ-of-the-test")
        page.keyboard.press("Enter")
        page.wait_for_selector("#view-jobs:not([hidden])")
        done = page.locator('.job[data-status="completed"]:has(.names:has-text("sport"))').first
        playwright.expect(done).to_be_visible(timeout=120_000)
        with page.expect_download() as download:
            done.get_by_role("button", name=re.compile("as JSONL")).click()
        download.value.save_as(tmp_path / "results.jsonl")
        assert json.loads((tmp_path / "results.jsonl").read_text().splitlines()[0])["sport"] == "yes"
        page.get_by_role("button", name="Forget the key").click()
        playwright.expect(page.get_by_label("This server asks for your key")).to_be_visible()
