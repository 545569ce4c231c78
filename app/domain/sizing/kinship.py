"""By what runs are alike, from fine to coarse.

Runs of other tenants count by their residuals alone: what is read of them names no tenant and no data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.json import Json

MOST_NAME = 255
"""Characters of a name by which runs are alike: longer ones are none."""


def name_in(parameters: Mapping[str, Json], parameter: str) -> str | None:
    """The algorithm or data set that parameters name; None where they name none."""
    value = parameters.get(parameter)
    return value if isinstance(value, str) and len(value) <= MOST_NAME else None


@dataclass(frozen=True, slots=True)
class Kinship:
    """What a job shares with runs that are like it."""

    tenant: str
    template: str
    algorithm: str | None
    dataset: str | None

    def groups(self) -> tuple[Group, ...]:
        """From fine to coarse. Of the algorithm alone only where there is one."""
        chosen = GROUPS if self.algorithm is not None else GROUPS[:-1]
        return tuple(Group(", ".join(names), {name: getattr(self, name) for name in names}) for names in chosen)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs that share these values. `name` tells in what they are alike, without the values."""

    name: str
    values: Mapping[str, str | None]

    @property
    def of_tenant(self) -> bool:
        """Whether all its runs are one tenant's, who may know on which data they were."""
        return "tenant" in self.values


GROUPS = (
    ("tenant", "template", "algorithm", "dataset"),
    ("tenant", "template", "algorithm"),
    ("template", "algorithm"),
    ("algorithm",),
)
OF_THE_TENANT = 2
"""So many of the groups, from the finest on, are of one tenant."""
JUST_LIKE_IT = 1
