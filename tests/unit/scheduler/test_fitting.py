"""The index of free amounts answers what asking each node would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.resources import Vector
from app.scheduler.fitting import Fitting, places

AMOUNTS = st.builds(Vector, *[st.integers(0, 5)] * 4)


@given(st.lists(AMOUNTS, max_size=30), AMOUNTS)
def test_it_names_exactly_those_that_have_room(free: list[Vector], vector: Vector) -> None:
    want = [n for n, room in enumerate(free) if vector.fits(room)]

    assert list(places(Fitting(free).holding(vector))) == want


def test_nothing_fits_where_nothing_is() -> None:
    assert Fitting([]).holding(Vector(1)) == 0
