"""What pages say that are made from the code is what the code says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.dev.pages import PAGES, PARTS, with_part

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_a_made_page_is_as_its_code_makes_it(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run: make docs"


@pytest.mark.parametrize("name", PARTS)
def test_the_made_part_of_a_page_is_as_its_code_makes_it(name: str) -> None:
    page = (DOCS / name).read_text()
    assert page == with_part(page, PARTS[name]()), "run: make docs"
