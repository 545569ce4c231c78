"""How many jobs of a tenant may wait. What it may hold of the pool is the planner's to decide."""

from __future__ import annotations

from app.domain.errors import QuotaExceeded
from app.services import Services


async def refuse_over_quota(services: Services, tenant: str, more: int = 1) -> None:
    """Raises QuotaExceeded where `more` jobs of the tenant would be more than may wait. Submits that meet may exceed it
    by as many as they are: each counts what is stored. Costs nothing for a tenant without such a quota."""
    quota = services.settings.tenants.quotas.get(tenant)
    if quota is None or quota.waiting is None:
        return
    waiting = await services.jobs.waiting_of(tenant, quota.waiting)
    if waiting + more > quota.waiting:
        raise QuotaExceeded(tenant, waiting, quota.waiting)
