"""Pages that are made from the code: `python -m app.dev.pages` writes them below `docs/`. Tests hold them equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from app.dev import metric_pages
from app.domain import states

PAGES: Mapping[str, Callable[[], str]] = {
    "state_machine.md": states.as_markdown,
    "metrics.md": metric_pages.metrics,
    "series.md": metric_pages.series,
}


def main() -> None:
    docs = Path(__file__).parents[2] / "docs"
    for name, render in PAGES.items():
        (docs / name).write_text(render())


if __name__ == "__main__":
    main()
