"""Examples that the OpenAPI document shows. A test decodes each with its type."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ..detectors.onnx.catalog import InputInfo, ModelInfo
from ..domain.analysis import Alert, Line, Zone
from ..domain.batch import BatchState
from ..domain.detector_config import Marker, Motion, Objects, Stored
from ..domain.media import Media, VideoTrack
from ..domain.prediction import Detection, Prediction
from ..domain.sampling import EveryFrame, FixedRate
from ..domain.spec import RestartPolicy
from ..domain.states import State
from .new_batch import BatchScenario, NewBatch
from .new_scenario import NewScenario
from .queries.batches import BatchCounts, BatchDetail, BatchInfo, BatchPage, FileNote
from .queries.deliveries import ChannelInfo, ChannelList, DeliveryInfo, DeliveryPage
from .queries.event_counts import EventCount, EventCounts
from .queries.events import EventPage, EventPicture, StoredEvent
from .queries.filters import ScenarioCounts
from .queries.history import ChangePage, ScenarioChange, SourceChange
from .queries.predictions import BatchPredictionPage, PredictionPage, PredictionsOfScenario
from .queries.progress import Progress
from .queries.runners import RunnerInfo, RunnerList
from .queries.scenarios import Scenario, ScenarioPage
from .queries.timeline import BucketCount, FrameCount, LabelTimeline, Timeline

NEW_SCENARIOS = {
    "a trial without a video": NewScenario("test:testsrc2", Objects()),
    "every frame of a recording": NewScenario("clip.mp4", Marker(), sampling=EveryFrame(), name="front door"),
    "two frames a second of a camera": NewScenario(
        "rtsp://camera.local/stream",
        Motion(),
        sampling=FixedRate(2.0),
        restart=RestartPolicy(policy="always"),
    ),
    "tell when somebody stays at the door": NewScenario(
        "rtsp://camera.local/stream",
        Objects(labels=("people",)),
        sampling=FixedRate(5.0),
        zones=(Zone("door", ((0.1, 0.4), (0.5, 0.4), (0.5, 1.0), (0.1, 1.0))),),
        lines=(Line("gate", (0.2, 0.9), (0.8, 0.9)),),
        alerts=(Alert("visitor", ("person",), zone="door", min_seconds=3, cooldown_seconds=60),),
    ),
    "ask what another scenario stored, with another line": NewScenario(
        "scenario:0198f1c2-6f0e-7b64-9d8e-0f6f0a1c2b3d",
        Stored(),
        lines=(Line("crossing", (0.0, 0.6), (1.0, 0.6)),),
    ),
}

SCENARIO = Scenario(
    id=UUID("0198f1c2-6f0e-7b64-9d8e-0f6f0a1c2b3d"),
    name="front door",
    tags=["outside"],
    replaces=None,
    replaced_by=None,
    batch=None,
    state=State.ACTIVE,
    outcome=None,
    error=None,
    reason=None,
    warnings=[],
    source="clip.mp4",
    detector=Marker(),
    sampling=FixedRate(2.0),
    restart=RestartPolicy(),
    track=None,
    aspect=None,
    recorded_at=None,
    tracking=None,
    presence=None,
    zones=(),
    lines=(),
    alerts=(),
    notify=None,
    attempt=1,
    runner_id="local",
    source_state="open",
    inference=None,
    progress=Progress(
        percent=41.5,
        fps=212.0,
        eta_seconds=5.0,
        position_seconds=24.9,
        frames_read=747,
        frames_sampled=50,
        frames_dropped=0,
        frames_failed=0,
        detections=50,
    ),
    media=Media(
        width=1280,
        height=720,
        fps=30.0,
        frames=1800,
        duration_seconds=60.0,
        frames_estimated=False,
        display_aspect=1.777778,
        declared_aspect=1.777778,
        rotation=0,
        mirrored=False,
        codec="h264",
        pixel_format="yuv420p",
        first_timestamp=0.0,
        track=0,
        tracks=(VideoTrack(0, "h264", 1280, 720),),
    ),
    created_at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    updated_at=datetime(2026, 1, 31, 9, 30, 4, tzinfo=UTC),
)
SCENARIO_COUNTS = ScenarioCounts(
    1210, 6, {State.ACTIVE: 9, State.INIT_STARTUP: 1, State.INACTIVE: 1200}, {"completed": 1197, "failed": 3}
)
SCENARIO_PAGE = ScenarioPage([SCENARIO], None)

NEW_BATCHES = {
    "a folder that is watched": NewBatch(
        "yard/**/*.mp4",
        BatchScenario(Objects()),
        watch=True,
        recorded_at="cam1_%Y%m%d-%H%M%S",
        timezone="Europe/Berlin",
        name="yard",
    ),
    "what is in a folder now": NewBatch(
        "*.mp4", BatchScenario(Objects(), sampling=FixedRate(5.0)), at_once=2
    ),
}
_BATCH: dict[str, Any] = {
    "id": UUID("0198f1c2-7a31-7c11-8a55-6d1f8a9b0c2d"),
    "name": "yard",
    "tags": ["outside"],
    "sources": "yard/**/*.mp4",
    "scenario": {"detector": {"type": "marker"}, "sampling": {"mode": "fps", "fps": 2.0}},
    "recorded_at": "cam1_%Y%m%d-%H%M%S",
    "timezone": "Europe/Berlin",
    "watch": True,
    "at_once": 4,
    "state": BatchState.RUNNING,
    "problem": None,
    "counts": BatchCounts(files=200, growing=1, waiting=120, running=4, completed=72, stopped=0, failed=3),
    "percent": 38.2,
    "scanned_at": datetime(2026, 1, 31, 9, 45, tzinfo=UTC),
    "created_at": datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    "updated_at": datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
}
BATCH = BatchDetail(
    **_BATCH,
    failures=[FileNote("yard/cam1_20260131-091500.mp4", SCENARIO.id, "the file is not a video")],
    failed_scenarios="/scenarios?batch=0198f1c2-7a31-7c11-8a55-6d1f8a9b0c2d&outcome=failed",
    warnings=[],
)
BATCH_PAGE = BatchPage([BatchInfo(**_BATCH)], None)
NO_BATCH = f"There is no batch {BATCH.id}. GET /batches lists those that exist."

PREDICTION_PAGE = PredictionPage(
    [
        Prediction(
            12, 0.4, (Detection("aruco:12", 1.0, (100.0, 80.0, 164.0, 144.0)),), width=1280, height=720
        ),
        Prediction(13, 0.433, (), width=1280, height=720),
        Prediction(14, 0.467, (), "The frame could not be decoded.", width=1280, height=720),
    ],
    None,
)

BATCH_PREDICTION_PAGE = BatchPredictionPage([PredictionsOfScenario(SCENARIO.id, PREDICTION_PAGE.items)], None)

EVENT_PAGE = EventPage(
    [
        StoredEvent(
            event_id=7,
            kind="alert",
            state="ended",
            label="person",
            track_id=3,
            name="visitor",
            direction=None,
            start_frame=412,
            start_time=1769851800.4,
            end_frame=412,
            end_time=1769851800.4,
            best_frame=396,
            best_time=1769851797.2,
            best_box=(100.0, 80.0, 164.0, 244.0),
            best_confidence=0.91,
            scenario_id=SCENARIO.id,
            at=datetime(2026, 1, 31, 9, 30, 0, 400_000, tzinfo=UTC),
            picture=EventPicture(
                path=f"/scenarios/{SCENARIO.id}/events/7/picture.jpg",
                frame=412,
                time=1769851800.4,
                box=(98.0, 80.0, 160.0, 240.0),
                width=1920,
                height=1080,
            ),
        )
    ],
    None,
)

EVENT_COUNTS = EventCounts(
    [EventCount("alert", "visitor", "person", 2), EventCount("object", None, "person", 37)]
)

TIMELINE = Timeline(
    60.0,
    0.0,
    119.5,
    True,
    [FrameCount(0.0, 120, 64, 0.91, 0), FrameCount(60.0, 120, 0, 0.0, 2)],
    [LabelTimeline("person", [BucketCount(0.0, 48, 64, 0.91)])],
)

CHANGE_PAGE = ChangePage(
    [
        ScenarioChange(
            id="812-41",
            scenario_id=SCENARIO.id,
            at=datetime(2026, 1, 31, 9, 30, 4, tzinfo=UTC),
            from_=State.IN_STARTUP_PROCESSING,
            to=State.ACTIVE,
            attempt=1,
            runner_id="local",
            reason="first frame decoded",
            outcome=None,
            error=None,
            deleted=False,
        ),
        SourceChange(
            scenario_id=SCENARIO.id,
            number=1,
            at=datetime(2026, 1, 31, 11, 2, 40, tzinfo=UTC),
            state="reconnecting",
            attempt=1,
            reason="rtsp://camera/live cannot be reached: nothing listens there",
            media=None,
        ),
    ],
    None,
)

EVENT_STREAM = """\
retry: 2000
id: 811-0-640-0

event: scenario
id: 812-41-640-0
data: {"kind":"state","id":"812-41","scenario_id":"0198f1c2-…","from":"in_startup_processing","to":"active",…}

event: source
id: 812-41-655-7
data: {"kind":"source","scenario_id":"0198f1c2-…","number":1,"state":"reconnecting",…}

event: event
id: 812-41-658-8
data: {"event_id":7,"kind":"zone","state":"open","label":"person","name":"door","scenario_id":"0198f1c2-…",…}

event: progress
data: {"scenario_id":"0198f1c2-…","attempt":1,"source_state":"open","progress":{"percent":41.5,…}}

event: batch
data: {"batch_id":"0198f1c2-…","state":"running","counts":{"files":40,"completed":12,…},"percent":30.0,…}

"""

MODEL = ModelInfo(
    name="yolo11n.onnx",
    size=10_734_611,
    modified=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    state="understood",
    digest="5bb6d5c2c1ba0f4d3a0e7f2a9f0e6a1c3d8b7e9f1a2b3c4d5e6f708192a3b4c5",
    layout="yolov8",
    input=InputInfo(
        640, 640, False, "float32", "first", 1, "letterbox", "rgb", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    ),
    backend="onnxruntime",
    precision="fp32",
    classes=80,
    labels={"0": "person", "1": "bicycle"},
)

RUNNER_LIST = RunnerList(
    [
        RunnerInfo(
            runner_id="local",
            boot_id=UUID("5d0c1f0e-8f5b-4c57-9a30-2b1f6f0e7c11"),
            state="alive",
            slots=4,
            held=1,
            scenario_ids=[SCENARIO.id],
            heartbeat_age_seconds=0.412,
            backend="onnxruntime",
            precision="fp32",
        )
    ]
)

METRICS = 'videoanalysis_scenarios{state="active"} 4.0\n'

DELIVERY = DeliveryInfo(
    id=UUID("3f0e9a52-4c0a-5d5e-9d0e-6a1a1f2f1b57"),
    scenario_id=SCENARIO.id,
    event_id=3,
    kind="alert",
    channel="ops",
    state="pending",
    attempts=2,
    created_at=datetime(2026, 1, 31, 9, 30, 5, tzinfo=UTC),
    next_attempt_at=datetime(2026, 1, 31, 9, 30, 9, tzinfo=UTC),
    ended_at=None,
    error="the channel answers with status 503",
)
DELIVERY_PAGE = DeliveryPage([DELIVERY], None)
CHANNEL_LIST = ChannelList(
    [
        ChannelInfo(
            name="ops",
            type="webhook",
            waiting=1,
            waiting_since=datetime(2026, 1, 31, 9, 30, 5, tzinfo=UTC),
            dead=0,
            last_sent_at=datetime(2026, 1, 31, 9, 29, 5, tzinfo=UTC),
            error="the channel answers with status 503",
        )
    ]
)

NO_DELIVERY = f"There is no delivery {DELIVERY.id}. GET /deliveries lists those that exist."
NO_CHANNEL = "There is no channel 'opps'. The channels are: 'home', 'ops'."
NO_SCENARIO = f"There is no scenario {SCENARIO.id}. GET /scenarios lists those that exist."
COMMAND_LOST = "The command may not have been received. Repeat the request."
