"""What can be done on the pages of tasks, comparisons, rows to review and alarms, in a real browser."""

import json
import re

import pytest

from queue_worker.celery_app import connect
from queue_worker.retraining.runs import RunState, RunStore
from tests.support.dashboard import MOODS, Looker, Place, needs_browser, show
from tests.support.model_folders import write_model

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install 'pingti[dev]'")
pytestmark = needs_browser


def test_a_task_is_made_and_its_replacement_started(looker: Looker, place: Place) -> None:
    root = place.workspace.root
    (root / "history.csv").write_text("key,post,seen_at\n1,a text,2026-11-01\n")
    write_model(root / "bert", {"id2label": {"0": "no", "1": "yes"}})
    page = looker.open("tasks")
    page.get_by_text("New task", exact=True).click()
    page.get_by_label("Name", exact=True).fill("praise")
    page.get_by_label("Classes").fill("no, maybe")
    page.get_by_label("Teacher").fill("../bert")
    page.get_by_label("Past texts").fill("../history.csv")
    page.get_by_label("Teacher").focus()  # leaves the field: its first file's header is read
    playwright.expect(page.locator("#task-columns")).to_have_text("Columns of the file: key, post, seen_at")
    assert page.locator("#task-text").input_value() == "post"
    assert page.locator("#task-time").input_value() == "seen_at"
    page.get_by_role("button", name="Check it first").click()
    playwright.expect(page.locator("#task-fault")).to_contain_text("maybe")  # no label of the teacher's
    assert "praise" not in place.workspace.task_names()
    page.get_by_label("Classes").fill("no, yes")
    page.get_by_role("button", name="Check it first").click()
    playwright.expect(page.locator("#task-state")).to_have_text("Everything fits; nothing is stored yet.")
    assert "praise" not in place.workspace.task_names()
    page.get_by_role("button", name="Make the task").click()
    playwright.expect(page.locator("#one-task h2")).to_have_text("praise")
    definition = place.workspace.task("praise").definition
    assert (definition.corpus.text, definition.corpus.time) == ("post", "seen_at")
    assert (definition.gate.precision, definition.gate.recall) == (0.9, 0.9)
    with connect(place.settings) as client:
        (run,) = RunStore(client).of_task("praise")
        assert run.state is RunState.QUEUED
    playwright.expect(page.locator("#one-task tr", has_text="queued")).to_be_visible()


def test_the_definition_is_shown_as_it_is_written(looker: Looker, place: Place) -> None:
    page = looker.open("tasks/tech")
    page.locator("summary", has_text="Definition").click()
    assert page.locator(".definition code").text_content() == place.workspace.task("tech").path.read_text()
    assert not looker.faults


def test_versions_and_tasks_stand_side_by_side(looker: Looker, place: Place) -> None:
    page = looker.open("tasks/sport")
    page.get_by_role("link", name="Compare versions").click()
    heads = page.locator("#compared thead tr > *")
    playwright.expect(heads).to_have_text(["Figure", "sport, version 1", "sport, version 2"])
    recall = page.locator("#compared tr", has_text="Recall").locator("td")
    assert recall.all_inner_texts() == ["0.910", "0.920 +0.010"]
    page.get_by_label("Beside").select_option("mood:1")
    page.get_by_role("button", name="Add").click()
    playwright.expect(heads).to_have_count(4)
    assert recall.all_inner_texts()[2] == "0.820 −0.090"
    threshold = page.locator("#compared tr", has_text="Threshold: default").locator("td")
    assert threshold.last.inner_text() == "–"  # there is none with more than two classes
    page.get_by_role("button", name="Remove sport, version 2").click()
    playwright.expect(heads).to_have_text(["Figure", "sport, version 1", "mood, version 1"])
    page.get_by_role("link", name="All tasks").click()
    page.get_by_role("link", name="Compare").click()
    playwright.expect(heads).to_have_text(
        ["Figure", *(f"{name}, version 1" for name in ("mood", "sport", "tech", "topic"))]
    )
    assert not looker.faults


def test_drift_is_badged_wherever_somebody_looks(looker: Looker, place: Place) -> None:
    page = looker.open("jobs")
    badge = page.locator("#drift-count")
    for view in ("jobs", "tasks", "review/sport", "nights", "compare"):
        show(page, place.url, view)
        playwright.expect(badge).to_have_text("drift: 1")
    show(page, place.url, "tasks")
    assert page.locator("#task-table tr:has(.drift) th a").first.inner_text() == "sport"
    assert page.locator("#task-table .drift").count() == 1
    show(page, place.url, "tasks/sport")
    page.locator("#one-task .drift").click()
    playwright.expect(page.locator(".alarm", has_text="version 1 of sport agreed")).to_be_visible()


def test_days_without_rows_are_gaps_and_dashes(looker: Looker, place: Place) -> None:
    page = looker.open("tasks/sport")
    figure = page.locator("figure", has_text="Agreement with the teacher")
    playwright.expect(figure.locator("polyline")).to_have_count(2)  # a day in between has no rows
    figure.get_by_text("As a table").click()
    shares = figure.locator("tbody td").all_inner_texts()
    assert len(shares) == 7
    assert shares.count("–") == 1
    assert "0.000" not in shares
    show(page, place.url, "tasks/mood")
    row = page.locator("tr", has=page.get_by_role("rowheader", name="proud", exact=True))
    playwright.expect(row.locator("td")).to_have_text(["–", "–", "–", "0"])
    assert not looker.faults


def test_a_question_names_the_version_and_goes_when_the_page_is_left(looker: Looker, place: Place) -> None:
    page = looker.open("tasks/sport")
    page.get_by_role("button", name="Promote version 2").click()
    assert "version 2 of sport" in page.locator("#sure-text").inner_text()
    page.evaluate("location.hash = '#/jobs'")
    playwright.expect(page.locator("#sure")).to_be_hidden()
    assert place.workspace.task("sport").current() == 1
    show(page, place.url, "tasks/sport")
    page.get_by_role("button", name="Retrain now").click()
    assert "(version 1)" in page.locator("#sure-text").inner_text()
    page.locator("#sure-no").click()
    page.get_by_role("button", name="Promote version 2").click()
    page.locator("#sure-yes").click()
    now = page.locator("#one-task dl dd").first
    playwright.expect(now).to_have_text("version 2", timeout=15_000)
    page.get_by_role("button", name="Roll back").click()
    assert "from version 2 to version 1" in page.locator("#sure-text").inner_text()
    page.locator("#sure-yes").click()
    playwright.expect(now).to_have_text("version 1", timeout=15_000)
    assert place.workspace.task("sport").current() == 1
    playwright.expect(page.get_by_role("button", name="Roll back")).to_have_count(0)  # there is none before


def test_a_job_tells_files_owner_notes_and_workers(looker: Looker, place: Place) -> None:
    page = looker.open()
    queued = page.locator(".job", has_text="A-1021")
    assert queued.locator(".files").inner_text() == (
        "comments_of_all_channels_part_0001.parquet, comments_of_all_channels_part_0002.parquet and 1 more"
    )
    assert queued.locator(".owner").inner_text() == "by nightly-batch"
    assert queued.locator(".notes").inner_text() == "team: search · ticket: A-1021"
    running = page.locator('.job[data-status="running"]', has_text="now.parquet")
    playwright.expect(running.locator(".workers")).to_have_text(
        "shards 0, 1 on classify@there-7 · shard 2 on classify@elsewhere-12"
    )


def test_the_tenth_class_has_a_key_and_the_student_s_score_is_shown(looker: Looker, place: Place) -> None:
    page = looker.open("review/mood")
    page.locator("#desk").focus()
    keys = page.locator(".class kbd").all_inner_texts()
    assert keys == list("1234567890qwe")
    assert len(keys) == len(MOODS)
    page.keyboard.press("0")
    playwright.expect(page.locator("#row-text")).to_have_text("a film about tennis")
    page.keyboard.press("e")
    playwright.expect(page.locator("#review-state")).to_contain_text("all sent", timeout=15_000)
    lines = (place.workspace.task("mood").folder / "labels.jsonl").read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["proud", "surprised"]
    show(page, place.url, "review/sport")
    scores = page.locator(".class", has_text="yes").locator(".scores")
    playwright.expect(scores).to_have_text(re.compile(r"^Teacher 0\.50\s*Student [01]\.\d\d$"))
    assert (
        page.locator("#row-why").inner_text() == "Chosen because the teacher's margin of 0.010 is below 0.1"
    )
    assert not looker.faults


def test_the_report_opens_with_the_verdict_in_the_page_s_language(looker: Looker, place: Place) -> None:
    page = looker.open("tasks/sport")
    playwright.expect(page.locator(".verdict")).to_contain_text(
        "It may replace its teacher: it decides 4.0 %"
    )
    page.get_by_role("button", name="中文").click()
    playwright.expect(page.locator(".verdict")).to_contain_text("可以取代教师模型：在 300 条留出文本中")
    link = page.get_by_role("link", name="HTML").get_attribute("href")
    assert link == "/v1/tasks/sport/versions/1/report.html?language=zh"
    assert not looker.faults


def test_the_page_of_the_api_is_told_in_both_languages(looker: Looker, place: Place) -> None:
    page = looker.open("jobs", locale="zh-CN")
    page.goto(f"{place.url}/docs")
    playwright.expect(page.locator("h1")).to_have_text("接口文档")
    box = page.locator("details", has=page.locator("code", has_text=re.compile("^/v1/classify$")))
    playwright.expect(box.locator("summary span")).to_have_text("立即给几条文本打标")
    box.locator("summary").click()
    playwright.expect(box.locator("th", has_text="字段").first).to_be_visible()
    page.get_by_role("button", name="English").click()
    playwright.expect(box.locator("summary span")).to_have_text("Classify a few texts at once")
    playwright.expect(box.locator("th", has_text="field").first).to_be_visible()  # what was open stays so
    page.get_by_role("link", name="Problems").click()
    playwright.expect(page.locator("h1")).to_have_text("Problems that Pingti reports")
    page.get_by_role("link", name="中文").click()
    playwright.expect(page.locator("h1")).to_have_text("Pingti 会报告的错误类型")
    assert not looker.faults


def test_the_page_of_the_api_says_that_the_document_cannot_be_had(looker: Looker, place: Place) -> None:
    page = looker.open("jobs")
    page.route("**/openapi.json", lambda route: route.fulfill(status=503))
    page.goto(f"{place.url}/docs")
    playwright.expect(page.locator("#about")).to_contain_text("HTTP 503")
    playwright.expect(page.locator("#about")).to_contain_text("load the page again")


def test_why_a_run_ended_so_is_told_in_chinese(looker: Looker) -> None:
    page = looker.open("nights", locale="zh-CN")
    reasons = page.locator("#runs .text")
    playwright.expect(reasons.nth(1)).to_have_text(
        "召回率 0.861 低于 0.900，且F1 比已发布的第 2 版低 0.021（95% 区间 0.004 至 0.038）"
    )
    playwright.expect(reasons.nth(2)).to_have_text("已达到门槛")
