"""Which of the pages' languages a browser asks for."""


def preferred(accept: str) -> str:
    """The language that a header prefers: "zh" where Chinese comes before English, else "en".

    Args:
        accept: an Accept-Language header (RFC 9110, section 12.5.4); empty where there is none.

    Examples:
        >>> preferred("zh-CN,zh;q=0.9,en;q=0.8"), preferred("en-GB,zh;q=0.5"), preferred("fr"), preferred("")
        ('zh', 'en', 'en', 'en')
    """
    weights = {"en": 0.0, "zh": 0.0}
    for part in accept.lower().split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _weight(parameter))
    return "zh" if weights["zh"] > weights["en"] else "en"


def _weight(parameter: str) -> float:
    """The weight of one range; 1 where none is given, 0 where it is no number."""
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
