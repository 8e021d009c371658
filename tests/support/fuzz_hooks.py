"""What schemathesis does not know of itself: TOML bodies, and that every error is a problem document."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/toml")
def toml(context: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", "backslashreplace")


@schemathesis.check
def problem_document(context: Any, response: Any, case: Any) -> None:
    """RFC 9457: every error has type, title, status and detail, and says the status that it came with."""
    if response.status_code < 400 or case.method == "HEAD":
        return
    content_type = response.headers["content-type"][0]
    assert content_type == "application/problem+json", f"an error as {content_type}"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["type"].startswith("/problems#")
    assert document["title"]
    assert document["detail"]
