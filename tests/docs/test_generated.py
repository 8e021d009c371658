"""The pages that are made from the code say what the code says."""

import re

import generate
import pytest
from reference_pages import definition, settings

from api.cli.main import EXIT_CODES
from api.rest.app import create_app
from api.rest.problems import KINDS
from api.sagemaker.settings import EndpointSettings
from pingti import client, errors
from pingti.workspace.definition import Definition
from queue_worker import celery_app
from queue_worker.settings import Settings
from tests.support.paths import ROOT


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def first_cells(name: str) -> list[str]:
    """What stands in the first column of a page's tables."""
    return re.findall(r"^\| `?([^|`]+)`? \|", page(name), re.MULTILINE)


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_up_to_date(name: str) -> None:
    assert page(name) == generate.PAGES[name](), f"docs/{name} is out of date: run make docs-reference"


def test_every_page_says_what_it_was_made_from() -> None:
    marked = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("**/*.md")}
    assert set(generate.PAGES) == {name for name in marked if "Written by docs/generate.py" in page(name)}
    for name in generate.PAGES:
        (comment,) = re.findall(
            r"<!-- Written by docs/generate.py from (.*); do not edit by hand. -->", page(name)
        )
        for source in re.findall(r"\w+(?:/\w+)+\.py", comment):
            assert (ROOT / source).is_file()


def test_every_metric_is_on_its_page() -> None:
    scrape = (ROOT / "tests/api/rest/metrics.txt").read_text(encoding="utf-8")
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", scrape, re.MULTILINE))
    assert len(types) > 20
    rows = page("reference/metrics.md").splitlines()
    for name, kind in types.items():
        (row,) = (row for row in rows if row.startswith(f"| `{name}` | {kind} | "))
        (of_name,) = {
            tuple(sorted(re.findall(r'(\w+)="', labels)))
            for labels in re.findall(rf"^{name}(?:_sum)?(\{{.*\}})? ", scrape, re.MULTILINE)
        }
        assert tuple(re.findall(r"`(\w+)`", row.split(" | ")[2])) == of_name
    assert sorted(types) == sorted(first_cells("reference/metrics.md")[1:])


def test_every_exit_code_and_error_is_on_its_page() -> None:
    cells = first_cells("reference/exit-codes.md")
    for code in EXIT_CODES:
        assert str(code) in cells
    for module in (errors, client):
        for kind in vars(module).values():
            if isinstance(kind, type) and issubclass(kind, errors.PingtiError):
                # Where a caller imports it from: the client's are made elsewhere.
                home = errors if kind.__module__ == errors.__name__ else client
                assert f"{home.__name__}.{kind.__name__}" in cells


def test_every_problem_type_is_on_its_page() -> None:
    assert first_cells("reference/problems.md")[1:] == list(KINDS)


def test_every_celery_task_is_on_its_page() -> None:
    application = celery_app.make_celery(Settings(redis_url="redis://nowhere/0"))
    application.loader.import_default_modules()
    registered = {name for name in application.tasks if not name.startswith("celery.")}
    names = {cell.partition("(")[0] for cell in first_cells("reference/celery-tasks.md")[1:]}
    assert names == registered == set(celery_app.QUEUE_OF)
    # A shard goes to teach where its students ask a teacher.
    assert {*celery_app.QUEUE_OF.values(), celery_app.TEACH} == set(celery_app.QUEUES)


def test_every_request_and_field_of_rest_is_on_its_page() -> None:
    document = create_app(Settings()).openapi()
    text = page("reference/rest.md")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method == "head":
                assert "get" in methods  # told there
                continue
            (section,) = re.findall(
                rf"^### `{method.upper()} {re.escape(path)}`\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL
            )
            for parameter in operation.get("parameters", ()):
                assert f"\n| `{parameter['name']}` | {parameter['in']} | " in section
            for status in operation["responses"]:
                assert re.search(rf"\b{status} [|`]", section), (path, status)
    for name, schema in document["components"]["schemas"].items():
        if f"\n### {name}\n" not in text:
            assert name in Definition.model_json_schema()["$defs"] or name == "Definition"
            continue
        (section,) = re.findall(rf"^### {name}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
        for field in schema.get("properties", {}):
            assert f"\n| `{field}` | " in section, (name, field)


def test_every_key_has_a_row_with_a_meaning() -> None:
    rows = [line.split(" | ") for line in definition.page().splitlines() if line.startswith("| `")]
    assert all(len(row) == 4 for row in rows)
    assert [row[0] for row in rows if row[3].strip(" |") == ""] == []
    keys = [row[0].strip("| `") for row in rows]
    for field in ("classes", "files", "drop", "fine_tune", "widths", "holdout_days", "at", "on_alarm"):
        assert field in keys
    headings = [line for line in definition.page().splitlines() if line.startswith("## `")]
    sections = {"corpus", "rules", "teacher", "student", "gate", "cascade", "scenes.NAME", "retrain", "watch"}
    assert headings == [f"## `[{name}]`" for name in _order(sections)]


def _order(sections: set[str]) -> list[str]:
    """``sections`` in the order in which the definition's model has them."""
    keys = [field.alias or name for name, field in Definition.model_fields.items()]
    return sorted(sections, key=lambda name: keys.index(name.partition(".")[0]))


def test_every_setting_has_a_row_with_a_meaning() -> None:
    rows = [line for line in settings.page().splitlines() if line.startswith("| `PINGTI_")]
    names = [f"PINGTI_{name.upper()}" for name in Settings.model_fields]
    names += [f"PINGTI_ENDPOINT_{name.upper()}" for name in EndpointSettings.model_fields]
    for name in names:
        (row,) = (row for row in rows if row.startswith(f"| `{name}` | ") and row.count(" | ") == 3)
        assert row.split(" | ")[3].strip(" |") != ""


def test_types_bounds_and_defaults_are_in_the_words_of_toml() -> None:
    page = definition.page()
    for row in (
        "| `priority` | integer, 0 to 9 | `5` | ",
        "| `files` | list of text, at least 1 | needed | ",
        "| `widths` | list of (integer, 1 to 16) | `[1, 2, 3]` | ",
        "| `margin` | number, at least 0, below 0.5 | `0.1` | ",
        '| `precision` | `"float32"`, `"bfloat16"`, `"int8"` |  | ',
        "| `map` | table of text to text | `{}` | ",
        "| `fine_tune` | `true` or `false` | `true` | ",
    ):
        assert f"\n{row}" in page
    of_settings = settings.page()
    for row in (
        "| `PINGTI_HOME` | path | `workspace` | ",
        "| `PINGTI_CALLBACK_SECRET` | text, secret |  | ",
        "| `PINGTI_CALLBACK_PAUSES` | list of number, comma-separated | `5,30,120,600,1800,",
        "| `PINGTI_CONCURRENCY` | integer, at least 1 | the machine's cores | ",
    ):
        assert f"\n{row}" in of_settings
