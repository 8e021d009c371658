"""The report of a version, as JSON for programs and as a page for people."""

from replacement.reporting.html import render, write

__all__ = ["render", "write"]
