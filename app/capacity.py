"""Settings about nodes that do not exist yet: who may create them, and of which kinds."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.environment import Group, variable


class NodeType(BaseModel):
    """A kind of node that the autoscaler may create."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_cores: float = Field(gt=0)
    memory_gb: float = Field(gt=0)
    gpu_count: int = Field(0, ge=0)
    storage_gb: float = Field(0, ge=0)
    labels: dict[str, str] = {}
    price_per_hour: float = Field(0, ge=0)
    boot_seconds: float = Field(60, ge=0)
    min: int = Field(0, ge=0)
    max: int = Field(10, ge=0)


class CapacitySettings(Group):
    """Nodes that do not exist yet."""

    provider: Literal["none", "local"] = variable(
        "CAPACITY_PROVIDER", "(later) Who creates nodes: none or local.", "none"
    )
    node_types: dict[str, NodeType] = variable(
        "NODE_TYPES",
        'Nodes that may be created as JSON, e.g. {"gpu": {"cpu_cores": 16, "memory_gb": 64, "gpu_count": 4, "max": 2}}.'
        " The largest bounds what a job may ask for.",
        {},
        unit="node types by name",
    )
