"""One message of every type, with values that are hard to encode."""

from uuid import UUID

from msgspec import Raw

from app import messages as m
from app.domain.detector_config import Marker
from app.domain.media import Media
from app.domain.sampling import FixedRate
from app.domain.spec import RestartPolicy, ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import Message, Topic

ID = UUID("7f9c24e8-3b12-4f10-a3c5-0d7d1f2f5a11")
SPEC = ScenarioSpec(
    source="rtsp://camera/stream?a=1&b=ü",
    detector=Marker(codes=("aruco", "qr")),
    sampling=FixedRate(2.5),
    restart=RestartPolicy("always", 3),
    name='door "ü" 🎥',
)
INSTANCE = m.Instance(runner_id="runner-1", boot_id=UUID("b1b2fd0e-9a5e-45f1-8f3e-6c1c52b6f0aa"))
MEDIA = Media(width=1280, height=720, fps=30000 / 1001, frames=None, duration_seconds=60.06)

SAMPLES: dict[Topic, tuple[Message, ...]] = {
    m.orchestrator_commands: (
        m.CreateScenario(command_id=ID, scenario_id=ID, spec=encode_spec(SPEC)),
        m.StartScenario(command_id=ID, scenario_id=ID),
        m.StopScenario(command_id=ID, scenario_id=ID),
        m.DeleteScenario(command_id=ID, scenario_id=ID),
    ),
    m.scenario_changes: (
        m.CreateScenario(
            command_id=ID, scenario_id=ID, spec=encode_spec(SPEC), tags=('"ü" 🎥',), replaces=ID
        ),
        m.UpdateScenario(command_id=ID, scenario_id=ID, name="", tags=()),
        m.UpdateScenario(command_id=ID, scenario_id=ID, recorded_at=None),
        m.CreateBatch(
            command_id=ID,
            batch_id=ID,
            spec=Raw(b'{"sources":"*.mp4","scenario":{}}'),
            needs=("detector:marker",),
            name="yard",
            tags=(),
            watch=True,
            at_once=4,
        ),
        m.UpdateBatch(command_id=ID, batch_id=ID, name="", tags=(), watch=False, at_once=1),
        m.StopBatch(command_id=ID, batch_id=ID),
        m.StartBatch(command_id=ID, batch_id=ID, failed=True),
        m.DeleteBatch(command_id=ID, batch_id=ID, stop=True),
    ),
    m.runner_commands: (
        m.StartRun(instance=INSTANCE, scenario_id=ID, attempt=1, spec=encode_spec(SPEC)),
        m.StopRun(instance=INSTANCE, scenario_id=ID, attempt=2**31),
    ),
    m.results_commands: (m.DropResults(scenario_id=ID),),
    m.results_changes: (m.DateResults(scenario_id=ID, number=2**31, recorded_at=1.5),),
    m.runner_events: (
        m.RunStarted(scenario_id=ID, attempt=1, next_frame=0, media=MEDIA),
        m.RunStopped(scenario_id=ID, attempt=1, next_frame=2**53),
        m.RunFinished(scenario_id=ID, attempt=1, next_frame=1800),
        m.RunFailed(scenario_id=ID, attempt=1, next_frame=7, error="no\nvideo ☹", retryable=False),
        m.RunReleased(scenario_id=ID, attempt=1, next_frame=7, instance=INSTANCE),
        m.RunnerLeaving(instance=INSTANCE),
    ),
    m.runner_heartbeats: (
        m.RunnerHeartbeat(
            instance=INSTANCE,
            slots=4,
            runs=(m.RunReport(scenario_id=ID, attempt=1, next_frame=12),),
            features=("detector:onnx",),
            backend="openvino:CPU",
            precision="bf16",
        ),
        m.Probe(sender=ID, partition_key="partition-1", number=0),
    ),
}
