"""The prefix of everything that the service keeps in Valkey."""

PREFIX = "pingti:"
"""Before every key but those of Celery; the Lua scripts know it as ``P``."""
