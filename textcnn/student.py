"""The student as it is kept and used: a folder of JSON and safetensors, and scores for texts."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti import files
from pingti.errors import ArtifactError, InputError
from textcnn.architecture import Architecture
from textcnn.cost import Cost, cost_of
from textcnn.encoding import Encoded, Vocabulary
from textcnn.fold import Folded, aligned, fold, fold_head, narrowed, padded, rows
from textcnn.hub.pretrained import Pretrained
from textcnn.multi_scorer import MultiScorer
from textcnn.plain.artifact import LAYOUT, TENSORS, map_tensors, read_document, write_document, write_tensors
from textcnn.readout import Readout

if TYPE_CHECKING:
    from textcnn.network import TextCNN


class Student(Pretrained):
    """A folded TextCNN, or a bag of n-grams, with its vocabulary and its classes.

    Scoring releases the interpreter's lock, so threads score in parallel; an instance is never changed.

    Examples:
        >>> from pingti import Student
        >>> student = Student.load("workspace/tasks/sport/students/1")
        >>> student.classes
        ('no', 'yes')
        >>> scores = student.score(["the goal match team coach", "the bread garden", None])
        >>> scores.shape, scores.dtype.name
        ((3, 2), 'float32')
        >>> (scores[:, 1] >= student.metadata["thresholds"]["default"]).tolist()
        [True, False, False]

    Args:
        folded: the numbers, in the shapes that the other arguments ask for.
        vocabulary: what texts are encoded by.
        classes: names, in the order of the columns of the scores.
        architecture: the network's shape.
        metadata: what else is to be known of the student, in values that JSON has.
        trunk: fingerprint of what it shares with others; computed where absent.
        subclasses: the number of columns of each class; 1 where absent.
        readout: which columns make the classes, of a student whose wide part has a column for each of them;
            instead of ``subclasses``.
        network: fingerprint of all numbers, equal for students that read one network; its own where absent.

    Raises:
        InputError: shapes that do not fit each other.
    """

    def __init__(
        self,
        folded: Folded,
        vocabulary: Vocabulary,
        classes: Iterable[str],
        architecture: Architecture,
        metadata: Mapping[str, Any] | None = None,
        trunk: str | None = None,
        subclasses: Sequence[int] | None = None,
        readout: Readout | None = None,
        network: str | None = None,
    ) -> None:
        self.folded = folded
        self.vocabulary = vocabulary
        self.classes = tuple(classes)
        self.subclasses = None if readout is not None else tuple(subclasses or (1 for _ in self.classes))
        """Into how many columns the network divides each class, where its wide part has one for a class."""
        if self.subclasses is not None and (
            len(self.subclasses) != len(self.classes) or min(self.subclasses) < 1
        ):
            raise InputError(
                f"student: subclasses are {list(self.subclasses)}; needed is a number for each of "
                f"{len(self.classes)} classes, at least 1"
            )
        self.readout = readout or Readout.of_subclasses(self.subclasses or ())
        """Which of the network's columns make the classes; a class's probability is the sum of theirs."""
        if self.readout.classes != len(self.classes):
            raise InputError(
                f"student: {self.readout.classes} classes are read off the network, but there are "
                f"{len(self.classes)} names"
            )
        self.architecture = architecture
        self.metadata = dict(metadata or {})
        self.trunk = trunk or folded.trunk()
        """Equal for students that differ in their heads alone."""
        self.network = network or f"in memory {id(folded)}"
        """Equal for students that read one network."""
        width = padded(architecture.filters)
        seen, count = len(architecture.widths) * width, sum(map(rows, self.readout.groups))
        shapes = {
            "table": (vocabulary.size * architecture.positions * width,),
            "step": (seen,),
            "bias": (seen,),
            "head": (count, seen),
            "head_bias": (count,),
            "wide": (architecture.wide, count if self.subclasses is None else rows(len(self.classes))),
        }
        if not architecture.widths and self.subclasses not in (None, (1,) * len(self.classes)):
            raise InputError("student: classes divided by a network, but the student is a bag of n-grams")
        for name, shape in shapes.items():
            if getattr(folded, name).shape != shape:
                raise InputError(
                    f"student: {name} has shape {getattr(folded, name).shape}; needed is {shape}"
                )
        self._scorer = MultiScorer([self])

    @classmethod
    def from_network(
        cls,
        network: "TextCNN",
        vocabulary: Vocabulary,
        classes: Iterable[str],
        metadata: Mapping[str, Any] | None = None,
        subclasses: Sequence[int] | None = None,
    ) -> Self:
        """Fold a network that was trained for one task.

        Args:
            network: trained; its columns are those of the first class, then of the second, ...
            vocabulary: what its texts were encoded by.
            classes: names, in the order of the columns.
            metadata: as of the class.
            subclasses: the number of columns of each class; 1 where absent.

        Raises:
            InputError: another number of classes or columns than the network has.
        """
        names = tuple(classes)
        (student,) = cls.family(
            network, vocabulary, [names], [metadata or {}], [subclasses or [1] * len(names)]
        )
        return student

    @classmethod
    def of_ngrams(
        cls,
        table: NDArray[np.float32],
        bias: NDArray[np.float32],
        vocabulary: Vocabulary,
        classes: Iterable[str],
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a student without a network, a bag of n-grams; its kind is "ngram".

        Args:
            table: float32 (buckets, classes), rows of logits, as of ``textcnn.ngrams.fit_ngrams``.
            bias: float32 (classes,).
            vocabulary: what its texts were encoded by.
            classes: names, in the order of the columns.
            metadata: as of the class.

        Raises:
            InputError: shapes that do not fit each other.
        """
        nothing = np.zeros(0, np.float32)
        head: dict[str, Any] = fold_head(np.zeros((len(bias), 0), np.float32), bias, table, 0)
        folded = Folded(table=aligned(0), step=nothing, bias=nothing, **head)
        return cls(folded, vocabulary, classes, Architecture.of_ngrams(len(table)), metadata)

    @classmethod
    def reading(
        cls,
        network: "TextCNN",
        vocabulary: Vocabulary,
        tasks: Mapping[str, tuple[Sequence[str], Readout]],
    ) -> dict[str, Self]:
        """Fold a network that was trained on teachers' labels: a student for each task that is read off it.

        Args:
            network: trained on the columns that the readouts tell of, undivided.
            vocabulary: what its texts were encoded by.
            tasks: of each its classes, and where they stand in the columns.

        Returns:
            The students by task. They have their numbers in common.

        Raises:
            InputError: another number of columns than the network has, or no task.
        """
        arrays = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
        groups = next((readout.groups for _, readout in tasks.values()), ())
        if sum(groups) != len(arrays["head.bias"]) or arrays["wide"].shape[1] != sum(groups):
            raise InputError(
                f"student: groups of {list(groups)} columns for a network of {len(arrays['head.bias'])}"
            )
        parts, first = [], 0
        for count in groups:
            own = slice(first, first + count)
            head = (arrays["head.weight"][own], arrays["head.bias"][own], arrays["wide"][:, own])
            parts.append(fold_head(*head, network.architecture.filters))
            first += count
        of_head: dict[str, Any] = {
            "head": np.concatenate([part["head"] for part in parts]),
            "head_bias": np.concatenate([part["head_bias"] for part in parts]),
            "wide": np.concatenate([part["wide"] for part in parts], axis=1),
        }
        trunk = (arrays["embedding"], arrays["filters"], arrays["bias"])
        nothing = (arrays["head.weight"][:2], arrays["head.bias"][:2], arrays["wide"][:, :2])
        folded = dataclasses.replace(fold(*trunk, *nothing, network.architecture), **of_head)
        fingerprint = folded.trunk()
        return {
            name: cls(folded, vocabulary, classes, network.architecture, None, fingerprint, readout=readout)
            for name, (classes, readout) in tasks.items()
        }

    def with_head(
        self,
        weight: NDArray[np.float32],
        bias: NDArray[np.float32],
        wide: NDArray[np.float32],
        classes: Iterable[str],
        readout: Readout,
    ) -> Self:
        """A student of the same trunk and vocabulary that decides otherwise.

        Args:
            weight: float32 (columns, widths x filters), as of ``textcnn.train.train_head``.
            bias: float32 (columns,).
            wide: float32 (buckets, columns), as many buckets as this one's.
            classes: names.
            readout: of one group, the columns.

        Raises:
            InputError: shapes that do not fit each other.
        """
        own: dict[str, Any] = fold_head(weight, bias, wide, self.architecture.filters)
        folded = dataclasses.replace(self.folded, **own)
        return type(self)(
            folded, self.vocabulary, classes, self.architecture, None, self.trunk, readout=readout
        )

    def narrowed(self) -> Self:
        """The same student with a table of int8: half the memory, and scores that hardly differ.

        Raises:
            InputError: there is no table of int16.
        """
        if self.kind != "textcnn" or self.folded.table.dtype != np.int16:
            raise InputError("student: only a TextCNN with a table of int16 can be narrowed to int8")
        readout = self.readout if self.subclasses is None else None
        folded, metadata = narrowed(self.folded, self.architecture.widths), self.metadata
        return type(self)(
            folded, self.vocabulary, self.classes, self.architecture, metadata, None, self.subclasses, readout
        )

    def read_as(self, classes: Iterable[str], readout: Readout) -> Self:
        """A student that reads other classes off the same network.

        Args:
            classes: names.
            readout: where they stand in the columns.

        Raises:
            InputError: a readout of other columns.
        """
        return type(self)(
            self.folded,
            self.vocabulary,
            classes,
            self.architecture,
            None,
            self.trunk,
            None,
            readout,
            self.network,
        )

    @classmethod
    def family(
        cls,
        network: "TextCNN",
        vocabulary: Vocabulary,
        classes: Sequence[Iterable[str]],
        metadata: Sequence[Mapping[str, Any]] | None = None,
        subclasses: Sequence[Sequence[int]] | None = None,
    ) -> list[Self]:
        """Fold a network that was trained for several tasks: one student each, with a shared trunk.

        Args:
            network: trained.
            vocabulary: what its texts were encoded by.
            classes: of each task, in the order of the columns of the training targets.
            metadata: of each student; none where absent.
            subclasses: of each task the number of columns of each class; 1 where absent.

        Returns:
            The students in the order of the tasks.

        Raises:
            InputError: another number of classes or columns than the network has.
        """
        arrays = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
        named = [tuple(names) for names in classes]
        parts = [tuple(counts) for counts in subclasses or [[1] * len(names) for names in named]]
        asked = (sum(map(len, named)), sum(map(sum, parts)))
        trained = (arrays["wide"].shape[1], len(arrays["head.bias"]))
        if asked != trained:
            raise InputError(
                "student: {} classes of {} columns for a network of {} classes and {} columns".format(
                    *asked, *trained
                )
            )
        students: list[Self] = []
        first = first_class = 0
        for number, names in enumerate(named):
            part = slice(first, first + sum(parts[number]))
            wide = arrays["wide"][:, first_class : first_class + len(names)]
            head = (arrays["head.weight"][part], arrays["head.bias"][part], wide)
            if students:
                own: dict[str, Any] = fold_head(*head, network.architecture.filters)
                folded = dataclasses.replace(students[0].folded, **own)
            else:
                trunk_arrays = (arrays["embedding"], arrays["filters"], arrays["bias"])
                folded = fold(*trunk_arrays, *head, network.architecture)
            about = metadata[number] if metadata else None
            trunk = students[0].trunk if students else None
            students.append(cls(folded, vocabulary, names, network.architecture, about, trunk, parts[number]))
            first, first_class = part.stop, first_class + len(names)
        return students

    @property
    def kind(self) -> str:
        """What it computes by, as ``student.kind`` of a definition names it."""
        return "textcnn" if self.architecture.widths else "ngram"

    def cost(self, tokens: float) -> Cost:
        """Count what it takes.

        Args:
            tokens: of a text, in the mean.
        """
        columns = sum(self.readout.groups)
        return cost_of(
            self.architecture,
            size=self.vocabulary.size,
            columns=columns,
            tokens=tokens,
            table=self.folded.table.itemsize,
        )

    def encode(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> Encoded:
        """Turn n texts into token ids; as ``Vocabulary.encode``."""
        return self.vocabulary.encode(texts)

    def score(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> NDArray[np.float32]:
        """Score n texts.

        Args:
            texts: an Arrow string, binary or dictionary array, chunked or not; a string, which is one text; a
                Series of pandas or polars, or any iterable of strings. None, NaN and pd.NA are nulls.

        Returns:
            Class probabilities, float32 (n, classes). The row of a null, and of bytes that are not UTF-8, is
            NaN.

        Raises:
            InputError: an array of another type, a frame (name one of its columns), or a value that is
                neither a string nor missing.
        """
        return self._scorer.score(texts)[0]

    def score_encoded(self, encoded: Encoded) -> NDArray[np.float32]:
        """Score n texts that ``self.vocabulary`` (or one with its fingerprint) has encoded.

        Returns:
            As of ``score``.
        """
        return self._scorer.score_encoded({self.vocabulary.fingerprint: encoded})[0]

    def features(self, encoded: Encoded) -> NDArray[np.float32]:
        """Compute what the linear head sees of each text: a space in which texts of like meaning lie near.

        Returns:
            float32 (n, widths x filters), from 0 on.
        """
        seen = np.empty((len(encoded), len(self.folded.step)), np.float32)
        self._scorer.score_encoded({self.vocabulary.fingerprint: encoded}, seen)
        return self._unpadded(seen)

    def network_logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute what the network alone says of texts, its wide part left out.

        Args:
            features: float32 (n, widths x filters), as of ``features``.

        Returns:
            Logits, float32 (n, classes), up to a constant of the row.
        """
        first = sum(map(rows, self.readout.groups[: self.readout.group]))
        own = slice(first, first + rows(len(self.readout.class_of)))
        logits = features @ self._unpadded(self.folded.head[own]).T + self.folded.head_bias[own]
        if logits.shape[1] == 1:  # two columns: the second's logit less the first's
            logits = np.hstack([np.zeros_like(logits), logits])
        of_classes = np.full((len(logits), len(self.classes)), -np.inf, np.float32)
        for column, number in enumerate(self.readout.class_of):
            np.logaddexp(of_classes[:, number], logits[:, column], out=of_classes[:, number])
        return of_classes

    def _unpadded(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows of (widths x padded filters) as rows of (widths x filters)."""
        count, filters = len(self.architecture.widths), self.architecture.filters
        blocks = seen.reshape(len(seen), count, padded(filters))
        return blocks[:, :, :filters].reshape(len(seen), count * filters)

    def save(self, folder: Path | str) -> None:
        """Write the artifact into ``folder``, which is made where it is not there.

        The JSON comes last, so that a folder with a JSON file is complete.
        """
        folder = Path(folder)
        with files.replacing(folder / LAYOUT.tensors) as temporary, temporary.open("wb") as file:
            write_tensors(file, {name: getattr(self.folded, name) for name in TENSORS})
        self._save_document(folder, files.sha256(folder / LAYOUT.tensors))

    def save_beside(self, folder: Path | str, other: Path | str) -> None:
        """Write the artifact of a student that reads the network of one that was saved already.

        Their tensors are one file with two names, where the disk can have that; so they are one in memory.

        Args:
            folder: as of ``save``.
            other: the folder of the other one.

        Raises:
            ArtifactError: the other's files are missing or damaged.
            InputError: the other reads another network.
        """
        folder, other = Path(folder), Path(other)
        document = read_document(other / LAYOUT.json)
        if document["trunk"] != self.trunk or document.get("readout", {}).get("groups") != list(
            self.readout.groups
        ):
            raise InputError(f"{other}: the student there reads another network than {folder.name}'s")
        files.link_or_copy(other / LAYOUT.tensors, folder / LAYOUT.tensors)
        self._save_document(folder, document["sha256"][LAYOUT.tensors])

    def _format(self) -> int:
        """The format of the artifact: the oldest that says all of it."""
        if "cascade" in self.metadata:  # an older Pingti would answer alone, and not say so
            return LAYOUT.format
        if self.kind != "textcnn" or self.folded.table.dtype != np.int16:  # it could not read the numbers
            return LAYOUT.format
        return LAYOUT.format_with_readout if self.subclasses is None else LAYOUT.format_without_readout

    def _save_document(self, folder: Path, tensors: str) -> None:
        """Write the JSON; ``tensors`` is the checksum of the file beside it."""
        read = (
            {"subclasses": list(self.subclasses)}
            if self.subclasses is not None
            else {"readout": asdict(self.readout)}
        )
        document = {
            "format": self._format(),
            **({} if self.kind == "textcnn" else {"kind": self.kind}),
            "classes": list(self.classes),
            **read,
            "architecture": asdict(self.architecture),
            "vocabulary": self.vocabulary.as_document(),
            "metadata": self.metadata,
            "trunk": self.trunk,
        }
        write_document(folder / LAYOUT.json, document, {LAYOUT.tensors: tensors})

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read an artifact that ``save`` wrote.

        The table stays in the file and is mapped, one copy for all processes.

        Raises:
            ArtifactError: a file is missing, damaged, or written by a newer Pingti.
        """
        folder = Path(folder)
        document = read_document(folder / LAYOUT.json)
        if document.get("kind", "textcnn") not in ("textcnn", "ngram"):
            raise ArtifactError(
                f"{folder}: a student of kind {document['kind']!r}, neither a TextCNN nor a bag of n-grams; "
                "pingti.load takes it"
            )
        tensors = map_tensors(folder / LAYOUT.tensors, document["sha256"].get(LAYOUT.tensors))
        try:
            vocabulary = Vocabulary.of_document(document["vocabulary"])
            architecture = Architecture(
                **{**document["architecture"], "widths": tuple(document["architecture"]["widths"])}
            )
            return cls(
                Folded(**tensors),
                vocabulary,
                document["classes"],
                architecture,
                document["metadata"],
                document["trunk"],
                document.get("subclasses"),  # format 1 had none
                _readout_of(document),
                document["sha256"][LAYOUT.tensors],
            )
        except (KeyError, TypeError, InputError) as error:
            raise ArtifactError(f"{folder}: not a usable student: {error}") from error

    @staticmethod
    def read_metadata(folder: Path | str) -> dict[str, Any]:
        """Read what was said of a student when it was made, without loading it; errors as of ``load``."""
        metadata: dict[str, Any] = read_document(Path(folder) / LAYOUT.json)["metadata"]
        return metadata

    @staticmethod
    def read_classes(folder: Path | str) -> tuple[str, ...]:
        """Read the classes of a student, without loading it; errors as of ``load``."""
        return tuple(read_document(Path(folder) / LAYOUT.json)["classes"])


def _readout_of(document: Mapping[str, Any]) -> Readout | None:
    """The readout of an artifact's JSON; None where it has subclasses, or formats before them."""
    read = document.get("readout")
    if read is None:
        return None
    return Readout(groups=tuple(read["groups"]), group=read["group"], class_of=tuple(read["class_of"]))
