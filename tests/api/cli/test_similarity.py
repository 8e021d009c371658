"""``pingti similarity``: from a file and a BERT to vectors and near-duplicates."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.support.command_line import Run
from tests.support.texts import made_texts


@pytest.fixture
def posts(tmp_path: Path) -> Path:
    texts = [text.rsplit(" ", 1)[0] for text in made_texts(60, seed=3)[0]]
    rows = [{"key": f"k{number}", "post": text} for number, text in enumerate([*texts, texts[0], texts[5]])]
    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"key": "bad"}\n')
    return path


@pytest.fixture
def student(pingti: Run, tiny_bert: Path, posts: Path, tmp_path: Path) -> Path:
    out = tmp_path / "student"
    options = ["--text", "post", "--teacher", tiny_bert, "--out", out, "--epochs", 1, "--width", 8]
    done = pingti("similarity", "train", posts, *options)
    assert done.returncode == 0, done.stderr
    assert "vectors of 8 numbers, learned from" in done.stdout
    assert "1 rows could not be read and taught nothing; the first: " in done.stdout
    return out


def test_every_text_has_a_vector_and_equal_texts_are_a_pair(
    pingti: Run, student: Path, posts: Path, tmp_path: Path
) -> None:
    columns = [posts, "--student", student, "--text", "post", "--id", "key"]
    assert pingti("similarity", "encode", *columns, "--out", tmp_path / "v.parquet").returncode == 0
    table = pq.read_table(tmp_path / "v.parquet")
    assert table.column("id").to_pylist()[:2] == ["k0", "k1"]
    vectors = np.array(table.column("vector").to_pylist(), np.float32)
    assert vectors.shape == (62, 8)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)

    done = pingti("similarity", "duplicates", *columns, "--out", tmp_path / "d.parquet", "--json")
    assert json.loads(done.stdout)["bad"] == 1
    pairs = {(row["id"], row["other_id"]): row for row in pq.read_table(tmp_path / "d.parquet").to_pylist()}
    assert {("k0", "k60"), ("k5", "k61")} <= pairs.keys()
    assert pairs["k0", "k60"]["text"] == pairs["k0", "k60"]["other_text"]
    assert pairs["k0", "k60"]["similarity"] == pytest.approx(1.0, abs=1e-5)


def test_what_is_there_is_not_overwritten(pingti: Run, student: Path, posts: Path, tmp_path: Path) -> None:
    again = pingti("similarity", "train", posts, "--text", "post", "--teacher", "x", "--out", student)
    assert "is there already" in again.stderr
    for out, message in ((posts, "give a name that ends in .parquet"), (student / "student.json", "Parquet")):
        refused = pingti("similarity", "encode", posts, "--student", student, "--out", out, "--text", "post")
        assert refused.returncode != 0
        assert message in refused.stderr


def test_a_file_without_texts_is_refused(pingti: Run, tiny_bert: Path, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("text\n")
    done = pingti("similarity", "train", path, "--teacher", tiny_bert, "--out", tmp_path / "s")
    assert "no text in it" in done.stderr
    assert not (tmp_path / "s").exists()


def test_empty_texts_are_no_duplicates_and_rows_without_an_id_are_named(
    pingti: Run, student: Path, tmp_path: Path
) -> None:
    path = tmp_path / "odd.jsonl"
    rows = [("a", ""), ("b", " "), (None, "one text"), ("c", "one text"), ("d", "one text"), ("e", "\n")]
    path.write_text("".join(json.dumps({"key": key, "post": post}) + "\n" for key, post in rows))
    options = [path, "--student", student, "--text", "post", "--id", "key", "--out", tmp_path / "d.parquet"]
    done = pingti("similarity", "duplicates", *options)
    pairs = pq.read_table(tmp_path / "d.parquet").to_pylist()
    assert [(row["id"], row["other_id"]) for row in pairs] == [("c", "d")]
    assert "3 texts are empty and were compared with none" in done.stdout
    assert f"1 rows could not be read and have none; the first: {path}, row 2 (from 0): field 'key'" in (
        done.stdout
    )
