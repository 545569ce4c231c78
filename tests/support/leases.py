"""Leases as tests want them: taken for certain, or taken from who has them."""

from __future__ import annotations

from datetime import timedelta

from app.domain.ports import Lease, LeaseStore


async def taken(leases: LeaseStore, name: str, holder: str, term: timedelta, held: Lease | None = None) -> Lease:
    """The lease for `holder`, whose present one, `held`, is ended first. Fails when another has it."""
    if held is not None:
        await leases.give_back(held)
    lease = await leases.acquire(name, holder, term)
    assert lease is not None, f"{name} is held by another"
    return lease
