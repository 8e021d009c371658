"""``pingti similarity``: vectors of texts by a student of a sentence teacher."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from api.cli.console import Screen
from api.cli.tasks import Json
from pingti.errors import ConflictError, InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from pingti.corpus.columns import BadRow, Columns

app = typer.Typer(
    help="Vectors of texts that lie near each other where a sentence BERT's do.", no_args_is_help=True
)

Inputs = Annotated[list[str], typer.Argument(help="Files, folders, patterns or addresses.")]
Text = Annotated[str, typer.Option("--text", help="Column of the text.")]
Id = Annotated[str | None, typer.Option("--id", help="Column of the id; rows are numbered where absent.")]
StudentFolder = Annotated[Path, typer.Option("--student", help="What `pingti similarity train` wrote.")]


@app.command()
def train(
    inputs: Inputs,
    teacher: Annotated[str, typer.Option(help="Folder or hub name of a sentence BERT.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the student, a new one.")],
    text: Text = "text",
    rows: Annotated[int, typer.Option(min=2, help="The teacher is asked for so many vectors.")] = 40_000,
    width: Annotated[int, typer.Option(min=1, max=4096, help="Numbers of a vector.")] = 128,
    max_length: Annotated[
        int | None,
        typer.Option(min=3, help="Tokens of a text that the teacher reads; its most, up to 128, if absent."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the texts.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Every random choice comes from it.")] = 0,
    device: Annotated[str | None, typer.Option(help="The teacher's torch device.")] = None,
    as_json: Json = False,
) -> None:
    """Train a student that puts texts where a sentence teacher puts them, thousands of times as fast."""
    from replacement import similarity

    screen = Screen(as_json=as_json)
    if out.exists():
        raise ConflictError(f"{out}: is there already; name another folder or remove it")
    with screen.progress():
        _, texts, bad = similarity.read_texts(inputs, _columns(text, None), screen.note)
        student = similarity.train(
            texts,
            teacher,
            rows=rows,
            width=width,
            max_length=max_length,
            epochs=epochs,
            seed=seed,
            device=device,
            progress=screen.advance,
        )
    student.save(out)
    _say_bad(screen, bad, "taught nothing")
    screen.say(f"{out}: vectors of {student.width} numbers, learned from {student.metadata['rows']:,} texts")
    screen.result(
        {"out": str(out), "width": student.width, "rows": student.metadata["rows"], "bad": len(bad)}
    )


@app.command()
def encode(
    inputs: Inputs,
    student: StudentFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write: id, vector.")],
    text: Text = "text",
    id_column: Id = None,
    as_json: Json = False,
) -> None:
    """Write the vector of every text, of length 1, so that a product of two is their cosine."""
    import pyarrow as pa

    screen = Screen(as_json=as_json)
    rows = _encoded(inputs, student, out, _columns(text, id_column), screen)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.vectors.reshape(-1)), rows.vectors.shape[1])
    _write(out, {"id": rows.ids, "vector": vectors})
    _end(screen, out, len(rows.ids), rows.bad, "vectors")


@app.command()
def duplicates(
    inputs: Inputs,
    student: StudentFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file to write: a row for each pair.")],
    threshold: Annotated[float, typer.Option(min=0.01, max=1.0, help="Pairs of so high a cosine.")] = 0.95,
    text: Text = "text",
    id_column: Id = None,
    as_json: Json = False,
) -> None:
    """Find pairs of texts that say nearly the same.

    Every text is compared with every other; empty ones with none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    import sampling

    screen = Screen(as_json=as_json)
    rows = _encoded(inputs, student, out, _columns(text, id_column), screen)
    # Texts that say nothing have one vector: n of them would be n² pairs that tell nobody anything.
    empty = pc.equal(pc.utf8_trim_whitespace(rows.texts), "").to_numpy(zero_copy_only=False)
    rows = rows.without(empty)
    pairs, cosines = sampling.near_duplicates(rows.vectors, threshold)
    first, second = pa.array(pairs[:, 0]), pa.array(pairs[:, 1])
    columns = {
        "id": rows.ids.take(first),
        "other_id": rows.ids.take(second),
        "similarity": pa.array(cosines),
        "text": rows.texts.take(first),
        "other_text": rows.texts.take(second),
    }
    _write(out, columns)
    if empty.any():
        screen.say(f"{empty.sum():,} texts are empty and were compared with none")
    what = f"pairs of {len(rows.ids):,} texts"
    _end(screen, out, len(pairs), rows.bad, what, empty=int(empty.sum()))


class _Rows(NamedTuple):
    ids: "pa.Array"
    texts: "pa.Array"
    vectors: "NDArray[np.float32]"
    bad: "list[BadRow]"
    """Rows that could not be read."""

    def without(self, left_out: "NDArray[np.bool_]") -> "_Rows":
        """The same without some rows."""
        import pyarrow as pa

        kept = pa.array(~left_out)
        return self._replace(
            ids=self.ids.filter(kept), texts=self.texts.filter(kept), vectors=self.vectors[~left_out]
        )


def _encoded(inputs: list[str], student: Path, out: Path, columns: "Columns", screen: Screen) -> _Rows:
    """The texts of files with their vectors; refused before anything is read where ``out`` cannot be."""
    from replacement import similarity
    from textcnn.similarity import SimilarityStudent

    _refuse_existing(out)
    encoder = SimilarityStudent.load(student)
    ids, texts, bad = similarity.read_texts(inputs, columns, screen.note)
    return _Rows(ids, texts, encoder.encode(texts), bad)


def _write(out: Path, columns: "dict[str, pa.Array]") -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pingti import files

    with files.replacing(out) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _columns(text: str, id_column: str | None) -> "Columns":
    from pingti.corpus.columns import Columns

    return Columns(text=text, id=id_column)


def _refuse_existing(out: Path) -> None:
    if out.suffix != ".parquet":
        raise InputError(f"{out}: what is written is Parquet; give a name that ends in .parquet")
    if out.exists():
        raise ConflictError(f"{out}: is there already; name another file or remove it")


def _end(screen: Screen, out: Path, count: int, bad: "list[BadRow]", what: str, **more: int) -> None:
    screen.say(f"{out}: {count:,} {what}")
    _say_bad(screen, bad, "have none")
    screen.result({"out": str(out), "count": count, "bad": len(bad), **more})


def _say_bad(screen: Screen, bad: "list[BadRow]", what: str) -> None:
    """Say how many rows could not be read, and why not the first of them."""
    if bad:
        first = f"{bad[0].file}, row {bad[0].row:,} (from 0): {bad[0].reason}"
        screen.say(f"{len(bad):,} rows could not be read and {what}; the first: {first}")
