"""Workers of these tests load no library for machine learning beforehand: few need one, and each start is much shorter.
Steps that do need them load them in their own process."""

from __future__ import annotations

import pytest

from workers.child import LIGHT
from workers.runners.nursery import Nursery


@pytest.fixture(autouse=True)
def _travel_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nursery.__init__, "__defaults__", (LIGHT,))
