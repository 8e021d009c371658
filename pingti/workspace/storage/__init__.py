"""What several machines share: an object store behind one small interface, and a local cache of it."""

from pingti.workspace.storage.cache import Cache
from pingti.workspace.storage.objects import Storage

__all__ = ["Cache", "Storage"]
