"""docs/definition.md and docs/settings.md say what the models say."""

import importlib.util
import sys
from types import ModuleType

import pytest

from api.sagemaker.settings import EndpointSettings
from pingti.workspace.definition import Definition
from queue_worker.settings import Settings
from tests.support.paths import ROOT


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


GENERATOR = load_generator()


@pytest.mark.parametrize("page", ["definition.md", "settings.md"])
def test_generated_pages_are_up_to_date(page: str) -> None:
    assert set(GENERATOR.PAGES) == {"definition.md", "settings.md"}
    written = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert written == GENERATOR.PAGES[page](), f"docs/{page} is out of date: run make docs-reference"


def test_every_key_has_a_row_with_a_meaning() -> None:
    rows = [line.split(" | ") for line in GENERATOR.definition_page().splitlines() if line.startswith("| `")]
    assert all(len(row) == 4 for row in rows)
    assert [row[0] for row in rows if row[3].strip(" |") == ""] == []
    keys = [row[0].strip("| `") for row in rows]
    for field in ("classes", "files", "drop", "fine_tune", "widths", "holdout_days", "at", "on_alarm"):
        assert field in keys
    headings = [line for line in GENERATOR.definition_page().splitlines() if line.startswith("## `")]
    sections = {"corpus", "rules", "teacher", "student", "gate", "scenes.NAME", "retrain", "watch"}
    assert headings == [f"## `[{name}]`" for name in _order(sections)]


def _order(sections: set[str]) -> list[str]:
    """``sections`` in the order in which the definition's model has them."""
    keys = [field.alias or name for name, field in Definition.model_fields.items()]
    return sorted(sections, key=lambda name: keys.index(name.partition(".")[0]))


def test_every_setting_has_a_row_with_a_meaning() -> None:
    rows = [line for line in GENERATOR.settings_page().splitlines() if line.startswith("| `PINGTI_")]
    names = [f"PINGTI_{name.upper()}" for name in Settings.model_fields]
    names += [f"PINGTI_ENDPOINT_{name.upper()}" for name in EndpointSettings.model_fields]
    for name in names:
        (row,) = (row for row in rows if row.startswith(f"| `{name}` | ") and row.count(" | ") == 3)
        assert row.split(" | ")[3].strip(" |") != ""


def test_types_bounds_and_defaults_are_in_the_words_of_toml() -> None:
    page = GENERATOR.definition_page()
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
    settings = GENERATOR.settings_page()
    for row in (
        "| `PINGTI_HOME` | path | `workspace` | ",
        "| `PINGTI_CALLBACK_SECRET` | text, secret |  | ",
        "| `PINGTI_CALLBACK_PAUSES` | list of number, comma-separated | `5,30,120,600,1800,",
        "| `PINGTI_CONCURRENCY` | integer, at least 1 | the machine's cores | ",
    ):
        assert f"\n{row}" in settings
