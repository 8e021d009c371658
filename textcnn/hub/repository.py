"""Folders of students from the Hugging Face hub, and to it, with the credentials that its tools keep."""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pingti.errors import InputError, NotFoundError, UnavailableError
from pingti.extras import install_hint

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def located(name: Path | str, revision: str | None, names: Sequence[str]) -> Path:
    """Find the folder of a student: the folder itself, or one that is fetched from the hub.

    Only the artifact's files are fetched, and they are kept where the hub's tools keep theirs.

    Args:
        name: a folder, or a repository's name on the hub, such as "team/sport".
        revision: a branch, tag or commit of the repository; its main branch where absent.
        names: of the files.

    Raises:
        InputError: a revision of a folder.
        NotFoundError: neither a folder nor a repository.
        UnavailableError: the hub does not answer, or its package is not installed.
    """
    if Path(name).is_dir():
        if revision is not None:
            raise InputError(f"{name}: a folder has no revisions; leave revision out")
        return Path(name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NotFoundError(f"{name}: no such folder, and no name of the hub, which would be like team/sport")
    with _one_sentence(name):
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, revision=revision, allow_patterns=list(names)))


def upload(folder: Path, name: str, *, private: bool, revision: str | None, message: str) -> str:
    """Put a folder into a repository of the hub, which is made where it is not there.

    Args:
        folder: all its files go.
        name: the repository's.
        private: of a repository that is made, whether others see it.
        revision: the branch; main where absent.
        message: of the commit.

    Returns:
        The commit's address.

    Raises:
        NotFoundError: no such branch.
        UnavailableError: the hub refuses or does not answer, or its package is not installed.
    """
    with _one_sentence(name):
        from huggingface_hub import HfApi

        hub = HfApi()
        hub.create_repo(name, private=private, exist_ok=True)
        commit = hub.upload_folder(
            repo_id=name, folder_path=folder, revision=revision, commit_message=message
        )
        return str(commit.commit_url)


@contextmanager
def _one_sentence(name: str) -> Iterator[None]:
    """Errors of the hub's package as Pingti's."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise UnavailableError(f"the hub needs the package huggingface_hub: {install_hint('hub')}")
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as error:
        raise InputError(f"{name}: no name of the hub, which is like team/sport") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise NotFoundError(
            f"{name}: no such repository or revision on the hub, or it is private and you have no access"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        first = str(error).strip().splitlines()
        raise UnavailableError(
            f"{name}: the hub does not do it: {first[0] if first else type(error).__name__}"
        ) from error
