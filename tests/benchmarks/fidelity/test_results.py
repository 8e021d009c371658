"""The file of what bench-fidelity measured."""

import json
from pathlib import Path

import pytest

from benchmarks.fidelity.results import merge, read
from tests.support.fidelity_rows import row


def test_calls_side_by_side_add_up_in_one_file(tmp_path: Path) -> None:
    out = tmp_path / "fidelity.json"
    empty = read(out)
    first, second = row("weibo", "a", "pingti", 0, 0.8), row("clinc150", "b", "random", 0, 0.7)
    merge(out, empty, rows=[second], left_out={"weibo": "not there", "weibo: fasttext": "missing"})
    # This call knows nothing of what the other has written since.
    merged = merge(
        out, empty, rows=[first], further=[{**first, "seconds": 1.0}], settings={"weibo": {"pool": 9}}
    )
    assert json.loads(out.read_text()) == merged
    assert [(each["data"], each["f1_teacher"]) for each in merged["rows"]] == [
        ("weibo", 0.8),
        ("clinc150", 0.7),
    ]
    # What was measured is not left out any more; what was not still is.
    assert merged["left_out"] == {"weibo: fasttext": "missing"}
    again = merge(out, merged, rows=[{**first, "f1_teacher": 0.85}])
    assert [each["f1_teacher"] for each in again["rows"]] == [0.85, 0.7]
    assert (len(again["further"]), again["settings"]) == (1, {"weibo": {"pool": 9}})
    assert merge(None, empty, rows=[first])["rows"] == [first]


def test_a_share_is_part_of_the_key(tmp_path: Path) -> None:
    out = tmp_path / "fidelity.json"
    some = [row("weibo", "a", "pingti", 0, 0.8, share=share) for share in (0.25, 0.05)]
    for one in some:
        merge(out, read(out), rows=[one])
    assert [(one["share"], one["f1_teacher"]) for one in read(out)["rows"]] == [(0.05, 0.8), (0.25, 0.8)]


def test_a_file_without_shares_is_not_added_to(tmp_path: Path) -> None:
    out = tmp_path / "fidelity.json"
    out.write_text('{"format": 1, "rows": []}')
    with pytest.raises(
        SystemExit, match=r"fidelity.json: format 1, but this bench adds to files of format 2: move"
    ):
        read(out)
