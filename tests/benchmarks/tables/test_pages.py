"""The documentation's tables are those that the committed figures give."""

from pathlib import Path

import pytest

from benchmarks.tables import __main__ as tables
from benchmarks.tables.blocks import BadPage, filled
from tests.support.paths import ROOT

RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("page", tables.pages(ROOT), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_are_up_to_date(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == tables.written(page, RESULTS), (
        f"{page}: out of date: run make bench-tables"
    )


def test_every_table_has_a_page() -> None:
    asked: list[str] = []

    def note(name: str) -> None:
        asked.append(name)

    for page in tables.pages(ROOT):
        filled(page.read_text(encoding="utf-8"), page.name, note)
    assert sorted(asked) == sorted(tables.TABLES)


def test_figures_that_are_not_there_leave_the_table_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table: teachers -->\n\nby hand\n\n<!-- end -->\nafter\n")
    assert tables.written(page, tmp_path) == page.read_text()
    # With the figures the table is written.
    (tmp_path / "teacher.json").write_bytes((RESULTS / "teacher.json").read_bytes())
    text = tables.written(page, tmp_path)
    assert text.startswith("before\n<!-- table: teachers -->\n\n| data | encoder |")
    assert text.endswith(" |\n\n<!-- end -->\nafter\n")
    assert "by hand" not in text


def test_a_block_is_replaced_and_the_rest_kept() -> None:
    page = "a\n<!-- table: x -->\nold\n<!-- end -->\nb\n<!--table:y-->\nkept\n<!--end-->\n"
    text = filled(page, "page.md", {"x": "| new |", "y": None}.__getitem__)
    assert text == "a\n<!-- table: x -->\n\n| new |\n\n<!-- end -->\nb\n<!--table:y-->\nkept\n<!--end-->\n"
    assert filled(text, "page.md", {"x": "| new |", "y": None}.__getitem__) == text


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("a\n<!-- table: x -->\n", "page.md, line 2: the table 'x' has no end"),
        ("<!-- table: x -->\n<!-- table: x -->\n<!-- end -->\n", "page.md, line 1: the table 'x' has no end"),
        ("a\n<!-- end -->\n", "page.md, line 2: an end without a table before it"),
        ("<!-- table: speeed -->\n<!-- end -->\n", "page.md, line 1: there is no table 'speeed'"),
    ],
)
def test_markers_that_do_not_fit_are_told(page: str, message: str) -> None:
    with pytest.raises(BadPage) as raised:
        filled(page, "page.md", {"x": "new"}.__getitem__)
    assert str(raised.value) == message
