"""What all runs of a runner share."""

from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from ..detectors.onnx.cache import ModelCache
from ..detectors.remote.servers import InferenceServers
from ..domain.networks import Networks
from ..postgres import Database
from .frames.workers import WorkerLanes
from .live_pictures import LiveTakers

Decoding = Literal["thread", "process"]


class RunContext(Struct, frozen=True):
    """What all runs of a runner share. `decoding` says where each run's source is decoded.

    `keeps_evidence`: live sources keep pictures of their objects and alerts.
    """

    database: Database
    media_root: Path
    models: ModelCache
    networks: Networks
    workers: WorkerLanes
    decoding: Decoding = "thread"
    servers: InferenceServers = field(default_factory=lambda: InferenceServers(Networks("public,private")))
    keeps_evidence: bool = True
    live: LiveTakers = field(default_factory=LiveTakers)
