"""Settings about nodes that do not exist yet: who creates them, of which kinds, when, and at what price."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.domain.capacity.kinds import NODE_TYPE_LABEL, NodeType
from app.domain.capacity.loads import Rules
from app.domain.capacity.slots import TARGETS
from app.domain.priority import Priority
from app.domain.resources import ABSURD, Vector
from app.environment import WHSEC, Group, Seconds, variable

TypeName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Price = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
LONGEST_BOOT = 86_400


class NodeTypeSetting(BaseModel):
    """A kind of node that may be created."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_cores: float = Field(gt=0, le=ABSURD["cpu_cores"], allow_inf_nan=False)
    memory_gb: float = Field(gt=0, le=ABSURD["memory_gb"], allow_inf_nan=False)
    gpu_count: int = Field(0, ge=0, le=ABSURD["gpu_count"])
    storage_gb: int = Field(100, ge=0, le=ABSURD["storage_gb"])
    labels: dict[Annotated[str, Field(pattern=r"^[^=,\s]{1,63}$")], Annotated[str, Field(pattern=r"^[^,]{0,63}$")]] = {}
    price_per_hour: Price = 0
    boot_seconds: float = Field(60, ge=0, le=LONGEST_BOOT, allow_inf_nan=False)
    min: int = Field(0, ge=0, le=1000)
    max: int = Field(10, ge=0, le=1000)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        if NODE_TYPE_LABEL in self.labels:
            raise ValueError(f"the label {NODE_TYPE_LABEL} is given to each node with the name of its type")
        return self

    @property
    def capacity(self) -> Vector:
        """What a node of the type offers."""
        return Vector.from_units(
            {
                "cpu_cores": self.cpu_cores,
                "memory_gb": self.memory_gb,
                "gpu_count": self.gpu_count,
                "storage_gb": self.storage_gb,
            }
        )


class CapacitySettings(Group):
    """Nodes that do not exist yet."""

    provider: Literal["none", "local", "webhook", "kubernetes", "ray"] = variable(
        "CAPACITY_PROVIDER",
        "Who creates nodes of NODE_TYPES and takes them away. `none`: nobody, the plan is advice; `local`: workers of "
        "this machine; `webhook`: whoever answers CAPACITY_WEBHOOK_URL; `kubernetes`: replicas of worker Deployments; "
        "`ray`: the autoscaler of a Ray cluster. See docs/capacity.md.",
        "none",
    )
    node_types: dict[TypeName, NodeTypeSetting] = variable(
        "NODE_TYPES",
        'Nodes that may be created as JSON, e.g. {"gpu": {"cpu_cores": 16, "memory_gb": 64, "gpu_count": 4, '
        '"storage_gb": 500, "labels": {"disk": "ssd"}, "price_per_hour": 3.2, "boot_seconds": 120, "min": 0, '
        '"max": 2}}. The largest bounds what a job may ask for.',
        {},
        unit="node types by name",
    )
    interval: Seconds = variable(
        "CAPACITY_INTERVAL_SECONDS",
        "Time between two looks at how many nodes there should be.",
        timedelta(seconds=10),
        unit="seconds",
    )
    window: Seconds = variable(
        "CAPACITY_WINDOW_SECONDS",
        "The fleet shrinks to the most that it wanted within this time, and only by nodes that were ready so long.",
        timedelta(minutes=10),
        unit="seconds",
    )
    arrivals: Seconds = variable(
        "CAPACITY_ARRIVALS_SECONDS",
        "What keeps coming is averaged over so long: room is kept for it.",
        timedelta(minutes=15),
        unit="seconds",
    )
    wait_targets: dict[Priority, Seconds] = variable(
        "WAIT_TARGETS",
        "Time within which a job of a class is to start, for which nodes are created, as JSON. What is left out stays.",
        {priority: timedelta(seconds=seconds) for priority, seconds in TARGETS.items()},
        unit="seconds by class",
    )
    class_prices: dict[Priority, Price] = variable(
        "CLASS_PRICES",
        'What an hour that a job need not wait is worth, as JSON, e.g. {"urgent": 20, "low": 0.1}. A node is created '
        "only if what it saves is worth its price; for a class without a price always.",
        {},
        unit="price by class",
    )
    local_bound: bool = variable(
        "CAPACITY_LOCAL_BOUND",
        "Whether workers that `local` started end with the process that started them. `dev` and `demo` set it, since "
        "their stores end as well; else the workers go on, and are found again after a restart.",
        False,
    )
    webhook_url: str | None = variable(
        "CAPACITY_WEBHOOK_URL", "Where `webhook` sends its plans.", None, pattern=r"^https?://.+", repr=False
    )
    webhook_secret: str | None = variable(
        "CAPACITY_WEBHOOK_SECRET",
        "Signs what `webhook` sends (Standard Webhooks): `whsec_` and 24 to 64 random bytes in base64.",
        None,
        pattern=WHSEC,
        repr=False,
    )
    webhook_private: bool = variable(
        "CAPACITY_WEBHOOK_PRIVATE", "Whether CAPACITY_WEBHOOK_URL may lead to a private or loopback address.", False
    )
    kubernetes_namespace: str = variable(
        "CAPACITY_KUBERNETES_NAMESPACE",
        "Namespace of the worker Deployments.",
        "default",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    )
    kubernetes_deployment: str = variable(
        "CAPACITY_KUBERNETES_DEPLOYMENT",
        "Name of the Deployment of a type; `{type}` stands for the type's name.",
        "tensorfleet-worker-{type}",
        pattern=r"^[a-z0-9-]*\{type\}[a-z0-9-]*$",
    )
    ray_address: str = variable("CAPACITY_RAY_ADDRESS", "Address of the Ray cluster.", "auto")

    @property
    def types(self) -> dict[str, NodeType]:
        """The kinds of nodes that may be created, as decisions have them."""
        return {
            name: NodeType(name, t.capacity, t.labels, t.price_per_hour, t.boot_seconds, t.min, t.max)
            for name, t in self.node_types.items()
        }

    @property
    def rules(self) -> Rules:
        """What decisions go by."""
        targets = TARGETS | {priority: target.total_seconds() for priority, target in self.wait_targets.items()}
        prices = dict(self.class_prices)
        return Rules(targets, prices, self.window.total_seconds(), self.arrivals.total_seconds())

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.provider == "webhook" and (self.webhook_url is None or self.webhook_secret is None):
            raise ValueError("CAPACITY_PROVIDER webhook needs CAPACITY_WEBHOOK_URL and CAPACITY_WEBHOOK_SECRET")
        if self.provider != "none" and not self.node_types:
            raise ValueError(f"CAPACITY_PROVIDER {self.provider} needs NODE_TYPES: which nodes it may create")
        return self
