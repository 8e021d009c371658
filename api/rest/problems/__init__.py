"""Errors as RFC 9457 problem documents: the one place that turns an exception into an HTTP answer.

``type`` is ``/problems#<kind>``, a page that this server answers itself. Where a request's body is at fault,
``errors[]`` carries a JSON pointer into it, written as a URI fragment as in RFC 9457, section 3
(``#/inputs/0``); for a query, path or header value it carries the ``parameter``'s name.
"""

from api.rest.problems.documents import MEDIA_TYPE, Problem, ProblemError, ProblemItem, problem_response
from api.rest.problems.handlers import full_disk, install, refusal_of
from api.rest.problems.kinds import KINDS, Kind
from api.rest.problems.kinds_page import page
from api.rest.problems.openapi import BROKER, RANGE, responses

__all__ = [
    "BROKER",
    "KINDS",
    "MEDIA_TYPE",
    "RANGE",
    "Kind",
    "Problem",
    "ProblemError",
    "ProblemItem",
    "full_disk",
    "install",
    "page",
    "problem_response",
    "refusal_of",
    "responses",
]
