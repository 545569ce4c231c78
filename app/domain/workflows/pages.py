"""How much of a run one answer shows: a step counts, and so does each item of its `for_each` that is shown with it."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.workflows.state import StepState, Workflow

MOST_SHOWN = 500
"""Steps and items of one answer."""
MOST_ITEMS = 100
"""Items that are shown with their step; the others are on pages of their own."""


def items_shown(state: StepState) -> range:
    """The items that are shown with their step."""
    return range(0 if state.items is None else min(state.items.total, MOST_ITEMS))


def steps_shown(workflow: Workflow, step_ids: Sequence[str], start: int = 0, most: int = MOST_SHOWN) -> Sequence[str]:
    """Those from `start` on that have room together; one has, whatever it has for items."""
    shown: list[str] = []
    room = most
    for step_id in step_ids[start : start + most]:
        room -= 1 + len(items_shown(workflow.step(step_id)))
        if room < 0 and shown:
            break
        shown.append(step_id)
    return shown
