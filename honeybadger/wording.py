"""Words for people."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """As "1 node", "1,000 nodes". `plural`: where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
