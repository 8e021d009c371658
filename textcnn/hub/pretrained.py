"""What any kind of student has for the Hugging Face hub: a folder with a model card, there and back."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from pingti import files
from textcnn.hub import repository
from textcnn.hub.card import model_card
from textcnn.plain.artifact import LAYOUT


class Pretrained(Protocol):
    """A student that can be saved and loaded, and so pushed and pulled."""

    FILES: ClassVar[tuple[str, ...]] = (LAYOUT.tensors, LAYOUT.json)
    """Of an artifact, the JSON last."""
    classes: tuple[str, ...]
    """Names, in the order of the columns of the scores."""
    metadata: dict[str, Any]
    """What else is to be known of it."""

    @property
    def kind(self) -> str:
        """What it computes by, as ``student.kind`` of a definition names it."""

    def save(self, folder: Path | str) -> None:
        """Write the artifact into ``folder``."""

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read an artifact that ``save`` wrote."""

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
        card = model_card(name or folder.name, self.classes, self.metadata, report, kind=self.kind)
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
        return cls.load(repository.located(name, revision, cls.FILES))

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
