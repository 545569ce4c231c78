"""The adapters for Kubernetes and Ray, against fakes at their ports."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from app.domain.ports import Ack
from app.providers.kubernetes import Contended, Deployment, KubernetesProvider
from app.providers.ray import Bundles, RayProvider


@dataclass
class FakeCluster:
    """Deployments whose versions count up. `rivals`: changes by others that come before the next writes."""

    deployments: dict[str, Deployment] = field(default_factory=dict)
    first: list[str] = field(default_factory=list)
    rivals: int = 0

    async def read(self, name: str) -> Deployment | None:
        return self.deployments.get(name)

    async def write(self, name: str, deployment: Deployment) -> bool:
        known = self.deployments[name]
        if self.rivals:
            self.rivals -= 1
            known = self.deployments[name] = replace(known, replicas=known.replicas + 10, version=known.version + "x")
        if known.version != deployment.version:
            return False
        self.deployments[name] = replace(deployment, version=known.version + "'")
        return True

    async def first_to_go(self, pod: str) -> None:
        self.first.append(pod)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster({"w-gpu": Deployment(2, "1"), "w-gpu-large": Deployment(1, "1")})


@pytest.fixture
def kubernetes(cluster: FakeCluster) -> KubernetesProvider:
    return KubernetesProvider(cluster, "w-{type}", ["gpu", "gpu-large", "cpu"])


class TestKubernetes:
    async def test_replicas_are_changed_by_what_a_plan_adds_and_takes(
        self, kubernetes: KubernetesProvider, cluster: FakeCluster
    ) -> None:
        pods = ["w-gpu-large-7f-abc", "w-gpu-6d-xyz", "somebody-else"]
        assert await kubernetes.scale("p1", {"gpu": 3}, pods, {}) == Ack(accepted=True)
        assert {name: d.replicas for name, d in cluster.deployments.items()} == {"w-gpu": 4, "w-gpu-large": 0}
        assert cluster.first == pods, "named before there are fewer"

    async def test_a_plan_that_is_told_again_changes_nothing(
        self, kubernetes: KubernetesProvider, cluster: FakeCluster
    ) -> None:
        for _ in range(3):
            assert (await kubernetes.scale("p1", {"gpu": 3}, [], {})).accepted
        assert cluster.deployments["w-gpu"].replicas == 5
        await kubernetes.scale("p2", {"gpu": 1}, [], {})
        assert cluster.deployments["w-gpu"].replicas == 6

    async def test_a_plan_that_was_cut_off_is_completed(
        self, kubernetes: KubernetesProvider, cluster: FakeCluster
    ) -> None:
        cluster.deployments["w-gpu"] = Deployment(5, "2", "p1")
        await kubernetes.scale("p1", {"gpu": 3, "gpu-large": 1}, [], {})
        assert {name: d.replicas for name, d in cluster.deployments.items()} == {"w-gpu": 5, "w-gpu-large": 2}

    async def test_what_somebody_else_changed_meanwhile_stays(
        self, kubernetes: KubernetesProvider, cluster: FakeCluster
    ) -> None:
        cluster.rivals = 2
        assert (await kubernetes.scale("p1", {"gpu": 3}, [], {})).accepted
        assert cluster.deployments["w-gpu"].replicas == 25

    async def test_whoever_never_wins_does_not_know(self, kubernetes: KubernetesProvider, cluster: FakeCluster) -> None:
        cluster.rivals = 9
        with pytest.raises(Contended):
            await kubernetes.scale("p1", {"gpu": 3}, [], {})

    async def test_a_deployment_that_is_not_there_is_a_no(self, kubernetes: KubernetesProvider) -> None:
        assert await kubernetes.scale("p1", {"cpu": 1}, [], {}) == Ack(False, "there is no Deployment w-cpu")

    async def test_replicas_are_never_negative(self, kubernetes: KubernetesProvider, cluster: FakeCluster) -> None:
        await kubernetes.scale("p1", {}, [f"w-gpu-large-{n}" for n in range(3)], {})
        assert cluster.deployments["w-gpu-large"].replicas == 0

    async def test_it_cannot_tell_its_nodes(self, kubernetes: KubernetesProvider) -> None:
        assert await kubernetes.nodes() is None


class TestRay:
    async def test_the_whole_is_asked_for_each_time(self) -> None:
        asked: list[Bundles] = []
        ray = RayProvider(asked.append)
        for _ in range(2):
            assert await ray.scale("p1", {"gpu": 1}, [], {"gpu": 2, "cpu": 1, "none": 0}) == Ack(accepted=True)
        assert asked == [[{"tensorfleet_cpu": 1.0}, {"tensorfleet_gpu": 1.0}, {"tensorfleet_gpu": 1.0}]] * 2

    async def test_what_goes_wrong_is_not_known(self) -> None:
        def away(_: Bundles) -> None:
            raise ConnectionError("no cluster")

        with pytest.raises(ConnectionError):
            await RayProvider(away).scale("p1", {}, [], {"gpu": 1})

    async def test_it_cannot_tell_its_nodes(self) -> None:
        assert await RayProvider(lambda _: None).nodes() is None
