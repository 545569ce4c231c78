"""Who creates nodes and takes them away: each module one implementation of `CapacityProvider`.

`provider_of` chooses by `CAPACITY_PROVIDER`. Libraries of extras are imported when they are used.
"""

from __future__ import annotations

from app.clock import Clock
from app.config import Settings
from app.domain.ports import CapacityProvider, NoProvider
from app.providers.kubernetes import KubernetesProvider, cluster_api
from app.providers.local import LocalProvider
from app.providers.ray import RayProvider, cluster_request
from app.providers.webhook import WebhookProvider


def provider_of(settings: Settings, clock: Clock) -> CapacityProvider:
    """The provider that the settings name. Nothing is started, opened or asked yet."""
    capacity = settings.capacity
    match capacity.provider:
        case "local":
            return LocalProvider(settings)
        case "webhook":
            url, secret = capacity.webhook_url or "", capacity.webhook_secret or ""
            return WebhookProvider(url, secret, clock, private=capacity.webhook_private)
        case "kubernetes":
            api = cluster_api(capacity.kubernetes_namespace)
            return KubernetesProvider(api, capacity.kubernetes_deployment, list(capacity.node_types))
        case "ray":
            return RayProvider(cluster_request(capacity.ray_address))
        case _:
            return NoProvider()
