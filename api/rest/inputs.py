"""A job's inputs that are no paths: uploaded files by their id, and URLs of allowed hosts."""

import hashlib
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from api.keys import Caller
from api.rest.dependencies import Services
from api.rest.problems import ProblemError
from api.rest.uploads import ID, Stored, file_name, sniff
from pingti.errors import InputError, NotFoundError, UnavailableError
from pingti.files import replacing
from pingti.http.outbound import Outbound
from pingti.remote import of_store

FETCH_SECONDS = 300.0


class Inputs:
    """The inputs of one request. What it fetched is kept as an upload, unless ``forget`` is called."""

    def __init__(self, services: Services, who: Caller) -> None:
        self._services, self._who = services, who
        self._fetched: dict[str, Stored] = {}

    def locate(self, given: str) -> str:
        """The path of what a caller names; a URL's file is fetched for it.

        Raises:
            InputError: it is not allowed, or not there.
            ProblemError: the key's limit on stored bytes is reached, or the disk is full.
        """
        if ID.fullmatch(given):
            try:
                return self._shared(self._services.uploads.find(given))
            except NotFoundError as error:
                raise InputError(str(error)) from None
        if of_store(given):
            return given
        if "://" in given:
            if given not in self._fetched:
                self._fetched[given] = self._fetch(given)
            return self._shared(self._fetched[given])
        return given

    def _shared(self, stored: Stored) -> str:
        """Where workers read an upload: in the store, where there is one, into which it is put by this."""
        storage = self._services.settings.storage
        if storage is None:
            return str(stored.path)
        key = f"uploads/{stored.id}/{stored.name}"
        if not storage.exists(key):
            storage.put_file(key, stored.path)
        return storage.at(key)

    def identify(self, given: str) -> str:
        """What an upload holds, in place of its id: the same file sent again is the same input."""
        try:
            stored = self._services.uploads.find(given)
        except NotFoundError:  # a path or URL, or it is deleted by now
            return given
        return f"{stored.name} {stored.sha256}"

    @property
    def fetched(self) -> bool:
        """Whether there is anything to forget."""
        return bool(self._fetched)

    def forget(self) -> None:
        """Remove what was fetched: no job came of it."""
        for stored in self._fetched.values():
            self._services.uploads.remove(stored)

    def _fetch(self, url: str) -> Stored:
        settings = self._services.settings
        try:
            host = (urlsplit(url).hostname or "").rstrip(".")
            name = file_name(unquote(urlsplit(url).path))
        except ValueError as error:
            raise InputError(f"{url[:200]!r} is not an address that can be used: {error}") from None
        except ProblemError:
            raise InputError(f"{url[:200]!r}: its path must end in the name of a file that is read") from None
        if host not in settings.url_hosts:
            allowed = ", ".join(settings.url_hosts) or "none"
            raise InputError(
                f"{url[:200]!r}: inputs are fetched only from hosts that the setting url_hosts names "
                f"({allowed}); upload the file instead"
            )
        left = self._services.upload_room(self._who)
        folder = self._services.uploads.new_folder()
        path: Path = folder / name
        outbound = Outbound(private_networks=settings.private_networks, seconds=FETCH_SECONDS)
        try:
            with replacing(path) as temporary:
                size = outbound.fetch(url, temporary, limit=left)
            if not size:
                raise InputError(f"{url}: is empty")
            sniff(path, str(path))
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return self._services.uploads.record(path, size=size, sha256=digest, owner=self._who.name)
        except UnavailableError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise InputError(str(error)) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
