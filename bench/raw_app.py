"""The yardstick of `bench.submit`: plain FastAPI, a body like ours, and one awaited majority insert through Motor."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import FastAPI, Request
from motor.motor_asyncio import AsyncIOMotorClient
from pydantic import BaseModel, Field


class Resources(BaseModel):
    cpu_cores: Annotated[float, Field(gt=0)] = 1
    memory_gb: Annotated[float, Field(gt=0)] = 1


class RetryPolicy(BaseModel):
    max_attempts: int = 3
    retry_delay: float = 60


class JobCreate(BaseModel):
    template: Annotated[str, Field(max_length=200)]
    parameters: dict[str, Any] = {}
    priority: Literal["urgent", "high", "normal", "low"] = "normal"
    resources: Resources = Resources()
    dependencies: list[str] = []
    retry_policy: RetryPolicy = RetryPolicy()


class Accepted(BaseModel):
    job_id: str
    status: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    client: AsyncIOMotorClient[dict[str, Any]] = AsyncIOMotorClient(os.environ["BENCH_MONGODB_URI"])
    app.state.jobs = client.bench_raw.get_collection("jobs")
    yield
    client.close()


app = FastAPI(lifespan=lifespan)


@app.post("/insert", status_code=201)
async def insert(body: JobCreate, request: Request) -> Accepted:
    key = uuid4().hex
    await request.app.state.jobs.insert_one({"_id": key, "status": "QUEUED", **body.model_dump()})
    return Accepted(job_id=key, status="QUEUED")
