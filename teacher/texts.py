"""What is asked of texts before a teacher sees them; no model is needed for it."""

from collections.abc import Sequence

from pingti.errors import InputError


def check_texts(texts: Sequence[str]) -> None:
    """Check that every text has a UTF-8 form: tokenizers and hashes need one.

    Raises:
        InputError: a text has none.
    """
    for row, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"text {row} is not valid Unicode: {error.reason} at character {error.start}"
            ) from error
