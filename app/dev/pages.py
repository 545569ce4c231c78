"""Pages that are made from the code: `python -m app.dev.pages` writes them below `docs/`. Tests hold them equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from app.dev import metric_pages
from app.domain import dependencies, states

PAGES: Mapping[str, Callable[[], str]] = {
    "state_machine.md": states.as_markdown,
    "metrics.md": metric_pages.metrics,
    "series.md": metric_pages.series,
}
PARTS: Mapping[str, Callable[[], str]] = {"workflows.md": dependencies.as_markdown}
"""Of a page written by hand the part between `BEGIN` and `END`."""
BEGIN, END = "do not edit -->\n", "<!-- end -->"


def with_part(page: str, part: str) -> str:
    """The page with its made part as it is now."""
    before, rest = page.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{part}\n\n{END}{rest.split(END, 1)[1]}"


def main() -> None:
    docs = Path(__file__).parents[2] / "docs"
    for name, render in PAGES.items():
        (docs / name).write_text(render())
    for name, render in PARTS.items():
        (docs / name).write_text(with_part((docs / name).read_text(), render()))


if __name__ == "__main__":
    main()
