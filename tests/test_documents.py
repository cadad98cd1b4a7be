"""Links in the documents lead somewhere."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("", "jaxsim", "input_pipeline", "configs", "launch", "benchmarks", "tests")
DOCUMENTS = sorted(
    document
    for folder in FOLDERS
    for document in ((ROOT / folder).rglob("*.md") if folder else ROOT.glob("*.md"))
)


def anchors(document: Path) -> set[str]:
    """What links can name in a document: its headings, as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", document.read_text())
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = Path(os.path.normpath(document.parent / name)) if name else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_there_are_links() -> None:
    assert len(DOCUMENTS) >= 6
    assert sum(each.read_text().count("](") for each in DOCUMENTS) > 50
