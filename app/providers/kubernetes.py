"""`kubernetes`: the nodes of a type are the replicas of a worker Deployment.

The plan's id stands in an annotation of each Deployment, written with its replicas under the version that was read: so
a plan that is told again changes nothing, and a change by somebody else in between is never overwritten. Pods that are
to go are named to Kubernetes as the cheapest to delete before the replicas are fewer; a pod's name must be its node's
id (`NODE_ID` from `metadata.name`). See docs/capacity.md for the Deployment.

`kubernetes-asyncio` comes with the extra `k8s` and is imported when it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from app.domain.ports import Ack, ProvidedNode

PLAN = "tensorfleet/capacity-plan"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
FIRST_TO_GO = "-1000"
TRIES = 3
CONFLICT, MISSING = 409, 404


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is to be known of one. `version`: of the object; `plan_id`: the last plan that changed it."""

    replicas: int
    version: str
    plan_id: str | None = None


class DeploymentApi(Protocol):
    """What is asked of a cluster."""

    async def read(self, name: str) -> Deployment | None:
        """None when there is none of that name."""

    async def write(self, name: str, deployment: Deployment) -> bool:
        """Set replicas and plan; False, and nothing is changed, when its version is another by now."""

    async def first_to_go(self, pod: str) -> None:
        """Have Kubernetes delete this pod before others. One that is gone already is well."""


class KubernetesProvider:
    """`CapacityProvider` over Deployments whose names follow `pattern`, `{type}` being the type's name."""

    name = "kubernetes"
    acts = True

    def __init__(self, api: DeploymentApi, pattern: str, types: Sequence[str]) -> None:
        self._api = api
        self._deployments = {kind: pattern.replace("{type}", kind) for kind in types}

    async def scale(self, plan_id: str, add: Mapping[str, int], drain: Sequence[str], total: Mapping[str, int]) -> Ack:
        del total
        less = Counter(kind for kind in map(self._type_of, drain) if kind is not None)
        for pod in drain:
            await self._api.first_to_go(pod)
        for kind in sorted({*add, *less}):
            missing = await self._change(self._deployments[kind], plan_id, add.get(kind, 0) - less[kind])
            if missing:
                return Ack(accepted=False, detail=missing)
        return Ack(accepted=True)

    async def nodes(self) -> Sequence[ProvidedNode] | None:
        """Kubernetes names pods as it likes; the annotation makes it safe to tell a plan again."""
        return None

    async def aclose(self) -> None:
        return None

    def _type_of(self, pod: str) -> str | None:
        """The longest name of a Deployment that the pod's begins with."""
        named = [(name, kind) for kind, name in self._deployments.items() if pod.startswith(f"{name}-")]
        return max(named, key=lambda pair: len(pair[0]))[1] if named else None

    async def _change(self, name: str, plan_id: str, by: int) -> str | None:
        """Why it cannot be; None when it is so. Raises Contended."""
        for _ in range(TRIES):
            found = await self._api.read(name)
            if found is None:
                return f"there is no Deployment {name}"
            if found.plan_id == plan_id:
                return None
            if await self._api.write(name, Deployment(max(0, found.replicas + by), found.version, plan_id)):
                return None
        raise Contended(name)


class Contended(Exception):
    """Somebody else changes the Deployment all the time."""


class ClusterApi:
    """`DeploymentApi` over kubernetes-asyncio: the cluster that this process runs in, else that of the kubeconfig."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    async def read(self, name: str) -> Deployment | None:
        async with self._client() as (library, connection):
            try:
                found = await library.AppsV1Api(connection).read_namespaced_deployment(name, self._namespace)
            except library.ApiException as error:
                if error.status == MISSING:
                    return None
                raise
        notes = found.metadata.annotations or {}
        return Deployment(found.spec.replicas or 0, found.metadata.resource_version, notes.get(PLAN))

    async def write(self, name: str, deployment: Deployment) -> bool:
        metadata = {"resourceVersion": deployment.version, "annotations": {PLAN: deployment.plan_id}}
        body = {"metadata": metadata, "spec": {"replicas": deployment.replicas}}
        async with self._client() as (library, connection):
            try:
                await library.AppsV1Api(connection).patch_namespaced_deployment(name, self._namespace, body)
            except library.ApiException as error:
                if error.status == CONFLICT:
                    return False
                raise
        return True

    async def first_to_go(self, pod: str) -> None:
        body = {"metadata": {"annotations": {DELETION_COST: FIRST_TO_GO}}}
        async with self._client() as (library, connection):
            try:
                await library.CoreV1Api(connection).patch_namespaced_pod(pod, self._namespace, body)
            except library.ApiException as error:
                if error.status != MISSING:
                    raise

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[tuple[Any, Any]]:
        """The library, and an open connection. Plans are rare, so each opens its own."""
        library = import_module("kubernetes_asyncio.client")
        config = import_module("kubernetes_asyncio.config")
        try:
            config.load_incluster_config()
        except config.ConfigException:
            await config.load_kube_config()
        async with library.ApiClient() as connection:
            yield library, connection


def cluster_api(namespace: str) -> DeploymentApi:
    """Of that namespace."""
    return ClusterApi(namespace)
