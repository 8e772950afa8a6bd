"""Words for people."""

from collections.abc import Iterable


def counted(number: int, noun: str, plural: str = "") -> str:
    """As "1 node", "1,000 nodes". `plural`: where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Iterable[str]) -> str:
    """As "a", "a and b", "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def closest(name: str, names: Iterable[str]) -> str:
    """The one of `names` that is most like `name`, whatever its case, or begins with it; "" if there is none."""
    import difflib

    by_lower = {one.lower(): one for one in names}
    # Two letters that changed places are a third of a short name, and much less of a long one.
    like = difflib.get_close_matches(name.lower(), by_lower, 1, 0.75 if len(name) > 4 else 0.6)
    if len(name) > 4:
        like += [one for one in by_lower if one.startswith(name.lower())]
    return by_lower[like[0]] if like else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """A question that follows a name that does not exist, if there is one like it; else ""."""
    like = closest(name, names)
    return f"; did you mean {like}?" if like else ""
