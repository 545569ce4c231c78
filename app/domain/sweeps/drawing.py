"""Grid and random: what a trial of a number tries, with nothing but the seed and the trials before it to go by.

Chance is a hash, so that it is the same on every machine and in every release, and depends on nothing that was drawn
before: trial 17 of a seed is drawn alike whether the service was restarted or not. Trials before it count only as what
must not be tried again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from functools import partial
from itertools import islice

from app.domain.json import Json
from app.domain.sweeps.space import Dimension, Space, Values, key

REDRAWS = 100
"""How often a trial that was there already is drawn anew, before the space is gone through one by one."""


def chance(*what: Json) -> float:
    """A number in [0, 1) that looks random and is the same for the same arguments."""
    digest = hashlib.blake2b("\x1f".join(map(str, what)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def seed_of(*what: Json) -> int:
    """A seed of 32 bits for the generator of somebody else."""
    return int(chance("seed", *what) * (1 << 32))


def grid(space: Space, most: int) -> list[Values]:
    """The first trials of a grid in its order: as declared, the last dimension changes first. Finite spaces only."""
    return list(islice(space.assignments(lambda dimension: dimension.points or ()), most))


def draw(space: Space, seed: int, number: int, taken: Collection[str], *, salt: str = "") -> Values | None:
    """An assignment at random that is not among the `taken` (by `key`). None where there is no other.

    Where redrawing does not help, since nearly all of a small space is taken, the first free one after a random place
    is it; so every space is used up whole.
    """
    for again in range(REDRAWS):
        values = space.draw(partial(chance, seed, number, again, salt))
        if key(values) not in taken:
            return values

    def from_somewhere(dimension: Dimension) -> Iterator[Json]:
        return dimension.rotated(chance(seed, number, "from", salt, dimension.name))

    return next((values for values in space.assignments(from_somewhere) if key(values) not in taken), None)
