"""A client of a running service, for Python programs: `Client`, and `AsyncClient` for asyncio."""

from ..domain.prediction import Detection, Prediction
from .answers import (
    BatchStatus,
    ChannelStatus,
    ChannelTrial,
    DeliveryRecord,
    EventRecord,
    FramesOfScenario,
    ModelSummary,
    ModelTrial,
    ScenarioStatus,
    ServiceInfo,
    StreamMessage,
    UploadReceipt,
)
from .asynchronous import AsyncClient
from .blocking import Client
from .errors import ClientError

__all__ = [
    "AsyncClient",
    "BatchStatus",
    "ChannelStatus",
    "ChannelTrial",
    "Client",
    "ClientError",
    "DeliveryRecord",
    "Detection",
    "EventRecord",
    "FramesOfScenario",
    "ModelSummary",
    "ModelTrial",
    "Prediction",
    "ScenarioStatus",
    "ServiceInfo",
    "StreamMessage",
    "UploadReceipt",
]
