"""Python client over the public HTTP API. It imports nothing of the service, so it can ship on its own."""

from .aio import AsyncClient
from .core import ApiError, StreamEvent, TensorFleetError, Unreachable

__all__ = ["ApiError", "AsyncClient", "StreamEvent", "TensorFleetError", "Unreachable"]
