"""Secrets of runs and schedules on their way to the store that is theirs alone, always before what names them.

Each write seals under an id of its own. One that is lost is dropped, unless what is stored names it after all; what a
crash leaves, or a write whose outcome is not known, retention finds by its age.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from app.domain.secrets import Sealed, sealed_by
from app.domain.transitions import Stamp
from app.operations.hints import hinted
from app.services import Services

Named = Callable[[], Awaitable[Mapping[str, str | None]]]


async def seal_values(services: Services, owner: str, values: Mapping[str, str], stamp: Stamp) -> str | None:
    """The id under which the values stand now; None when there are none."""
    if not values:
        return None
    sealed = Sealed(sealed_by(owner, stamp.op), owner, values, stamp.at)
    await services.secrets.put(sealed)
    return sealed.id


async def values_of(services: Services, sealed: str | None) -> dict[str, str]:
    """What stands under this id, as far as it is there."""
    return {} if sealed is None else dict(await services.secrets.get(sealed) or {})


async def drop_of_workflow(services: Services, workflow_id: str, sealed: str | None) -> None:
    """Forget what was sealed for a write that was lost."""
    await _drop(services, sealed, lambda: services.workflows.sealed_of([workflow_id]))


async def drop_of_schedule(services: Services, name: str, sealed: str | None) -> None:
    """Forget what was sealed for a schedule that was not stored after all, or is gone."""
    await _drop(services, sealed, lambda: services.schedules.sealed_of([name]))


async def _drop(services: Services, sealed: str | None, named: Named) -> None:
    async def unless_named(sealed: str) -> None:
        if sealed not in (await named()).values():
            await services.secrets.delete([sealed])

    if sealed is not None:
        await hinted("drop_sealed", unless_named(sealed))
