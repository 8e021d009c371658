"""The student as it is kept and used: a folder of JSON and safetensors, and scores for texts."""

import dataclasses
import tempfile
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
from textcnn.encoding import Encoded, Vocabulary
from textcnn.fold import Folded, first_columns, fold, fold_head, padded, rows
from textcnn.hub import repository
from textcnn.hub.card import model_card
from textcnn.multi_scorer import MultiScorer
from textcnn.plain.artifact import LAYOUT, TENSORS, checksum, map_tensors, read_document, write_tensors

if TYPE_CHECKING:
    from textcnn.network import TextCNN


class Student:
    """A folded TextCNN with its vocabulary and its classes.

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
    ) -> None:
        self.folded = folded
        self.vocabulary = vocabulary
        self.classes = tuple(classes)
        self.subclasses = tuple(subclasses or (1 for _ in self.classes))
        """Into how many parts the network divides each class; a class's probability is the sum of theirs."""
        if len(self.subclasses) != len(self.classes) or min(self.subclasses) < 1:
            raise InputError(
                f"student: subclasses are {list(self.subclasses)}; needed is a number for each of "
                f"{len(self.classes)} classes, at least 1"
            )
        self.architecture = architecture
        self.metadata = dict(metadata or {})
        self.trunk = trunk or folded.trunk()
        """Equal for students that differ in their heads alone."""
        width = padded(architecture.filters)
        seen, count = len(architecture.widths) * width, rows(sum(self.subclasses))
        shapes = {
            "table": (vocabulary.size * architecture.positions * width,),
            "step": (seen,),
            "bias": (seen,),
            "head": (count, seen),
            "head_bias": (count,),
            "wide": (architecture.wide, rows(len(self.classes))),
        }
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
        logits = features @ self._unpadded(self.folded.head).T + self.folded.head_bias
        if logits.shape[1] == 1:  # two classes: the second's logit less the first's
            return np.hstack([np.zeros_like(logits), logits])
        of_classes: NDArray[np.float32] = np.logaddexp.reduceat(
            logits, first_columns(self.subclasses), axis=1
        )
        return of_classes

    def _unpadded(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Rows of (widths x padded filters) as rows of (widths x filters)."""
        blocks = seen.reshape(len(seen), len(self.architecture.widths), -1)
        return blocks[:, :, : self.architecture.filters].reshape(len(seen), -1)

    def save(self, folder: Path | str) -> None:
        """Write the artifact into ``folder``, which is made where it is not there.

        The JSON comes last, so that a folder with a JSON file is complete.
        """
        folder = Path(folder)
        with files.replacing(folder / LAYOUT.tensors) as temporary, temporary.open("wb") as file:
            write_tensors(file, {name: getattr(self.folded, name) for name in TENSORS})
        checksums = {LAYOUT.tensors: files.sha256(folder / LAYOUT.tensors)}
        document = {
            "format": LAYOUT.format,
            "classes": list(self.classes),
            "subclasses": list(self.subclasses),
            "architecture": asdict(self.architecture),
            "vocabulary": self.vocabulary.as_document(),
            "metadata": self.metadata,
            "trunk": self.trunk,
            "sha256": checksums,
        }
        checksums[LAYOUT.json] = checksum(document)
        files.write_json(folder / LAYOUT.json, document)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read an artifact that ``save`` wrote.

        The table stays in the file and is mapped, one copy for all processes.

        Raises:
            ArtifactError: a file is missing, damaged, or written by a newer Pingti.
        """
        folder = Path(folder)
        document = read_document(folder / LAYOUT.json)
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
            )
        except (KeyError, TypeError, InputError) as error:
            raise ArtifactError(f"{folder}: not a usable student: {error}") from error

    def save_pretrained(
        self, folder: Path | str, *, report: Mapping[str, Any] | None = None, name: str | None = None
    ) -> None:
        """Write the artifact with a model card, README.md, as ``from_pretrained`` and the hub take it.

        >>> import pingti
        >>> sport = pingti.load("sport")
        >>> sport.student.save_pretrained("sport-model")
        >>> pingti.Student.from_pretrained("sport-model").classes
        ('no', 'yes')

        Args:
            folder: made where it is not there.
            report: what the version's report.json holds: the card's figures come from it, and its texts do
                not. ``pingti.load(task).save_pretrained`` gives it.
            name: of the student on the hub, for the card's example; the folder's where absent.
        """
        folder = Path(folder)
        card = model_card(name or folder.name, self.classes, self.metadata, report)
        self.save(folder)
        files.write_bytes(folder / "README.md", card.encode())

    @classmethod
    def from_pretrained(cls, name: Path | str, *, revision: str | None = None) -> Self:
        """Load a student from a folder, or from the Hugging Face hub.

        Args:
            name: a folder that ``save`` or ``save_pretrained`` wrote, or a repository such as "team/sport".
            revision: of a repository a branch, tag or commit; its main branch where absent.

        Raises:
            NotFoundError: neither a folder nor a repository.
            UnavailableError: the hub does not answer, or the package huggingface_hub is missing.
            ArtifactError: as of ``load``.
            InputError: a revision of a folder.
        """
        return cls.load(repository.located(name, revision))

    def push_to_hub(
        self,
        name: str,
        *,
        report: Mapping[str, Any] | None = None,
        private: bool = True,
        revision: str | None = None,
    ) -> str:
        """Put the artifact and its card on the Hugging Face hub.

        The vocabulary goes along: the corpus's frequent tokens, which a private corpus may not want told.

        Args:
            name: a repository such as "team/sport"; made where it is not there.
            report: as of ``save_pretrained``.
            private: of a repository that is made, whether others do not see it.
            revision: the branch; main where absent.

        Returns:
            The commit's address.

        Raises:
            InputError: a name that the hub does not allow.
            NotFoundError: no such branch.
            UnavailableError: the hub refuses or does not answer, or the package huggingface_hub is missing.
        """
        with tempfile.TemporaryDirectory(prefix="pingti-hub-") as folder:
            self.save_pretrained(folder, report=report, name=name)
            task, version = self.metadata.get("task"), self.metadata.get("version")
            message = f"{task}, version {version}" if task and version else "A student"
            return repository.upload(Path(folder), name, private=private, revision=revision, message=message)

    @staticmethod
    def read_metadata(folder: Path | str) -> dict[str, Any]:
        """Read what was said of a student when it was made, without loading it; errors as of ``load``."""
        metadata: dict[str, Any] = read_document(Path(folder) / LAYOUT.json)["metadata"]
        return metadata

    @staticmethod
    def read_classes(folder: Path | str) -> tuple[str, ...]:
        """Read the classes of a student, without loading it; errors as of ``load``."""
        return tuple(read_document(Path(folder) / LAYOUT.json)["classes"])
