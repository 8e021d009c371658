"""Which files an input of a job names, and that no step leads out of the allowed folders."""

import os
from pathlib import Path

import pytest

from pingti.corpus.formats import FORMATS
from pingti.corpus.paths import expand
from pingti.errors import InputError
from queue_worker.jobs import inputs
from queue_worker.jobs.inputs import input_files
from queue_worker.settings import Settings

FILES = (
    "a.csv",
    "b.csv",
    "[a].csv",
    "[x].csv",
    "ä?.csv",
    "notes.txt",
    "deep/c.csv",
    "deep/er/d.csv.gz",
    "deep/er/.hidden.csv",
    "deep/.hidden/e.csv",
    "deep/_own/f.csv",
    "spark.parquet/part-1.parquet",
    "spark.parquet/part-0.parquet",
    "spark.parquet/_SUCCESS",
    "spark.parquet/.part-0.parquet.crc",
    "hive/day=2025-11-03/part-0.parquet",
    "hive/day=2025-11-03/hour=8/part-1.PARQUET",
    "hive/day=2025-11-04/part-0.parquet",
    "hive/_delta_log/0.parquet",
    "ten/10.jsonl",
    "ten/9.jsonl",
    "ten/A.jsonl",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    for name in FILES:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    (home / "empty").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").touch()
    (outside / "secret.txt").touch()
    return Settings(home=home)


def named(settings: Settings, given: str, most: int = 1000) -> list[str]:
    return [os.path.relpath(path, settings.home) for path in input_files(settings, given, most=most)]


NAMES = """
    a.csv [a].csv [x].csv [ab].csv *.csv ?.csv ä* deep deep/ ./deep deep/* deep/** deep/**/* **/*.csv **/c.csv
    **/er/* deep/../deep/*.csv */c.csv d*/e*/*.gz deep/.h*/* deep/er/.* spark.parquet spark.parquet/*.parquet
    *.parquet hive hive/day=* hive/*/part-0.parquet hive/day=2025-11-0[34]/* hive/** ten ten/* **/[0-9]* */*/*
    . **
"""


@pytest.mark.parametrize("given", NAMES.split())
@pytest.mark.parametrize("absolute", [False, True])
def test_the_same_files_as_in_the_product_s_other_doors(
    settings: Settings, given: str, absolute: bool
) -> None:
    expected = [os.path.relpath(path, settings.home) for path in expand(given, settings.home)]
    assert expected
    assert named(settings, str(settings.home / given) if absolute else given) == expected


def test_the_order_is_that_of_the_names_whatever_the_disk_says(settings: Settings) -> None:
    assert named(settings, "ten") == ["ten/10.jsonl", "ten/9.jsonl", "ten/A.jsonl"]
    for letter in "qwertyuiop":
        (settings.home / "ten" / f"{letter}.jsonl").touch()
    assert named(settings, "ten/[a-z].jsonl") == [f"ten/{letter}.jsonl" for letter in sorted("qwertyuiop")]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("*.none", "'*.none' matches no file below an allowed folder (HOME)"),
        ("empty/*", "'empty/*' matches no file below an allowed folder (HOME)"),
        ("gone/*.csv", "'gone/*.csv' matches no file below an allowed folder (HOME)"),
        ("emp*", "'emp*' matches no file below an allowed folder (HOME)"),
        ("empty", f"'empty' is a folder without a file of rows ({' '.join(FORMATS)})"),
        ("gone.csv", "'gone.csv' is not a file below an allowed folder (HOME); MEND"),
        ("gone", "'gone' is not a file below an allowed folder (HOME); MEND"),
        ("file-" + "0" * 22, f"there is no uploaded file file-{'0' * 22}, or no more; upload it again"),
        ("", "an input path must not be empty or hold a NUL character"),
        ("*\0", "an input path must not be empty or hold a NUL character"),
        ("s3://bucket/*.csv", "'s3://bucket/*.csv' is an address; a job's input is a file below HOME"),
    ],
)  # fmt: skip
def test_an_input_that_names_nothing_is_refused(settings: Settings, given: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        named(settings, given)
    told = str(caught.value).replace(str(settings.home), "HOME")
    assert told.replace("correct the path, or upload the file", "MEND") == says


OUTSIDE = (
    "../outside",
    "../outside/*.csv",
    "../outside/secret.*",
    "../*/secret.csv",
    "../*",
    "*/../../outside/*.csv",
    "deep/*/../../../outside/*.csv",
    "**/../../outside/secret.csv",
    "OUTSIDE",
    "OUTSIDE/*.csv",
    "/*/*.csv",
    "/etc/pass*",
    "~/*.csv",
)


@pytest.mark.parametrize("given", OUTSIDE)
def test_nothing_leads_out_and_nothing_is_told_of_what_is_there(settings: Settings, given: str) -> None:
    outside = settings.home.parent / "outside"
    given = given.replace("OUTSIDE", str(outside))
    with pytest.raises(InputError) as caught:
        named(settings, given)
    there = str(caught.value)
    assert "below an allowed folder" in there
    for path in outside.iterdir():
        path.unlink()
    with pytest.raises(InputError) as caught:
        named(settings, given)
    assert str(caught.value) == there  # whether or not anything is there


@pytest.mark.parametrize("kind", ["folder", "file", "nothing", "chain"])
@pytest.mark.parametrize(
    "given", ["links", "links/*", "links/*/*.csv", "links/**", "**/secret.csv", "l*/l*", "hive"]
)
def test_a_link_out_of_the_allowed_folders_is_refused(settings: Settings, kind: str, given: str) -> None:
    outside = settings.home.parent / "outside"
    target = {"folder": outside, "file": outside / "secret.csv", "nothing": outside / "gone.csv"}.get(kind)
    folder = settings.home / "links"
    folder.mkdir()
    if target is None:
        (folder / "x.csv").symlink_to("link.csv")
        target = outside
    (folder / "link.csv").symlink_to(target)
    (settings.home / "hive" / "day=2025-11-05").symlink_to(target)
    (folder / "good.csv").touch()
    with pytest.raises(InputError, match="is a link that leads nowhere, or out of the allowed folders"):
        named(settings, given)


def test_before_a_wildcard_a_link_leads_where_it_leads(settings: Settings) -> None:
    (settings.home / "out").symlink_to(settings.home.parent / "outside")
    (settings.home / "in").symlink_to(settings.home / "deep")
    for given in ("out/*.csv", "out", "out/../outside/*.csv"):
        with pytest.raises(InputError, match="below an allowed folder"):
            named(settings, given)
    assert named(settings, "in/*.csv") == ["deep/c.csv"]
    assert named(settings, "in") == ["deep/c.csv", "deep/er/d.csv.gz"]


def test_links_inside_are_followed_and_circles_end(settings: Settings) -> None:
    links = settings.home / "links"
    links.mkdir()
    (links / "deep").symlink_to(settings.home / "deep")
    (links / "more.csv").symlink_to(settings.home / "a.csv")
    (links / "again").symlink_to(links)
    (links / "up").symlink_to(settings.home)
    (settings.home / "deep" / "back").symlink_to(links)
    expected = ["deep/c.csv", "deep/er/d.csv.gz", "a.csv"]
    assert named(settings, "links") == expected
    assert named(settings, "links/**/*.csv*") == ["deep/_own/f.csv", *expected]  # by a pattern of one's own
    assert named(settings, "links/again/*.csv") == ["a.csv"]


def test_other_roots_hold_for_patterns_as_well(settings: Settings, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    elsewhere = settings.model_copy(update={"input_roots": (outside,)})
    assert input_files(elsewhere, f"{outside}/*.csv", most=9) == [str(outside / "secret.csv")]
    assert input_files(elsewhere, str(outside), most=9) == [str(outside / "secret.csv")]
    for given in ("*.csv", "deep", f"{tmp_path}/*/*.csv"):
        with pytest.raises(InputError, match="below an allowed folder"):
            input_files(elsewhere, given, most=9)


def test_so_many_files_and_no_more(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(named(settings, "ten", most=3)) == 3
    for given in ("ten", "ten/*"):
        with pytest.raises(InputError, match=r"names more than 2 files; a job may have 1,000"):
            named(settings, given, most=2)
    monkeypatch.setattr(inputs, "_MOST_LOOKED_AT", 3)
    assert len(named(settings, "ten")) == 3
    for given in ("**/*.none", "hive", "*/*"):
        with pytest.raises(
            InputError, match="more than 3 files and folders to look at; name a folder further down"
        ):
            named(settings, given)
