"""``pingti init``: a task's definition, written from a model's folder, a file of texts and a few answers."""

from api.cli.init.command import init

__all__ = ["init"]
