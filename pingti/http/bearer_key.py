"""The form of an API key, the same where one is set and where one is sent."""


def bearer_key(text: str) -> str:
    """A key as it is sent and compared: without white space around it, such as the end of a file's line.

    Raises:
        ValueError: the key opens nothing, or no header carries it. The message does not hold the key.
    """
    key = text.strip(" \t\r\n")
    if not key:
        raise ValueError("the key is empty; needed is one of printable characters, or none set at all")
    if not key.isprintable():
        raise ValueError("the key holds a control character; allowed are printable ones")
    return key
