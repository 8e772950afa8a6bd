"""docs/glossary.md: in order, each word once, each with a page that explains it; and the other pages lead there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
INDEX, *PARTS = re.split(r"^### ", TEXT, flags=re.MULTILINE)
#: headings, with what is said below each
ENTRIES = [part.split("\n", 1) for part in PARTS]
HEADINGS = [heading for heading, _ in ENTRIES]
PAGES = [
    page
    for folder in (".", "docs", "docker", "bench/experiments", "examples/accounts")
    for page in sorted((ROOT / folder).glob("*.md"))
    # The page of a single experiment says how to read it; the pages that lead there explain the words.
    if page.name != "glossary.md" and (folder != "bench/experiments" or page.name == "README.md")
]


def words(headings: str) -> list[str]:
    """Each word of a heading that several of them share."""
    return re.split(r", | and ", headings)


def test_entries_are_sorted_and_unique() -> None:
    assert sorted(HEADINGS, key=str.lower) == HEADINGS
    every = [word.lower() for heading in HEADINGS for word in words(heading)]
    assert sorted(every) == sorted(set(every))


def test_each_is_short_and_names_the_page_that_explains_it() -> None:
    for heading, body in ENTRIES:
        assert re.search(r"\]\((?!glossary|#)[^)]+\.md(#[^)]*)?\)$", body.strip()), heading
        assert len(re.sub(r"\]\([^)]*\)", "", body)) < 500, heading


def test_the_index_by_subject_has_each_once() -> None:
    listed = [word.lower() for word in re.findall(r"\[([^\]]+)\]\(#", INDEX)]
    assert sorted(listed) == sorted(heading.lower() for heading in HEADINGS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_leads_to_the_glossary_but_to_no_word_twice(page: Path) -> None:
    """The first use of the words that matter most on the page is a link; a link at each use would make it busy."""
    links = re.findall(r"\]\([^)]*\bglossary\.md(#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert links, f"link the first use of two or three words in {page.name} to docs/glossary.md"
    to_words = sorted(filter(None, links))
    assert to_words == sorted(set(to_words))
    assert len(to_words) <= 5
