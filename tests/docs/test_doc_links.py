"""Links of all pages lead to a file, and to a heading of it if they name one; the index of docs/ lists every page."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for folder in ("", "docs", "docker", "bench/experiments", "examples/*")
    for page in ROOT.glob(f"{folder}/*.md".lstrip("/"))
)


def prose(text: str) -> str:
    """Without fenced code, where `#` begins a comment, and without code in a line."""
    fenced = re.sub(r"^( *)(`{3,}|~{3,}).*?^ *\2`*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`+[^`\n]*`+", lambda code: code[0] if "](" not in code[0] else "", fenced)


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings: of what a heading shows, and numbered where it comes again."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#{1,6} +(.*?)(?: +#+)? *$", prose(text), re.MULTILINE):
        shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def broken(page: Path, text: str) -> list[str]:
    """The links in `text` that lead nowhere, seen from `page`."""
    wrong = []
    for target in re.findall(r"\]\(<?([^)>\s]+)[^)]*\)", prose(text)):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        if not other.exists():
            wrong.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(text if other == page else other.read_text(encoding="utf-8")):
            wrong.append(f"{target}: no such heading")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_a_link_that_leads_nowhere_is_noticed() -> None:
    text = (
        "# Here\n[a](nowhere.md) [b](#there) [c](pbft.md#nothing) [d](../Makefile#here) `[e](nowhere.md)`\n"
        "```\n# there\n[f](nowhere.md)\n```\n[g](#here) [h](pbft.md#phases 'title') ![i](https://example.org/nothing.png)\n"
    )
    assert broken(DOCS / "README.md", text) == [
        "nowhere.md: no such file",
        "#there: no such heading",
        "pbft.md#nothing: no such heading",
        "../Makefile#here: no such heading",
    ]


def test_anchors_are_those_of_github() -> None:
    text = "# A b, `c_d`: e-f?\n## *N* ≥ [3f+1](x.md#y) ##\n```sh\n# not one\n```\n### Again\n### Again\n#no heading\n"
    assert anchors(text) == {"a-b-c_d-e-f", "n--3f1", "again", "again-1"}


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in sorted(DOCS.glob("*.md")) if f"]({page.name})" not in index] == ["README.md"]
