"""The statements that store batches: of one scenario or of several, with or without analysis."""

from ...predictions.events import COLUMNS
from ...predictions.evidence import CLEARLY_BETTER
from ...predictions.evidence import COLUMNS as PICTURE_COLUMNS

_ANALYSIS_COLUMNS = (
    ("analysis_state", "bytea", "bytea"),
    ("analysis_frame", "bigint", "bigint"),
    ("next_track_id", "bigint", "bigint"),
    ("next_event_id", "bigint", "bigint"),
    ("cooldowns", "text", "jsonb"),
    ("open_events", "text", "bigint[]"),
    ("open_end_frames", "text", "bigint[]"),
    ("open_end_times", "text", "double precision[]"),
)
"""Name, type of the parameter, type. Null leaves a column as it is."""

_EVENTS = f"""
    , changed AS (
        INSERT INTO events AS known (
            scenario_id, event_id, kind, state, label, track_id, name, direction, start_frame, start_time,
            end_frame, end_time, best_frame, best_time, best_box, best_confidence, at)
        SELECT scenario_id, event_id, kind, state, label, track_id, coalesce(name, ''), direction,
               start_frame, start_time, end_frame, end_time, best_frame, best_time, best_box,
               best_confidence,
               to_timestamp(start_time + CASE WHEN {{is_live}} OR has_clock THEN 0 ELSE recorded_at END)
          FROM moved CROSS JOIN LATERAL json_to_recordset({{events}}::json) AS e ({COLUMNS})
         ORDER BY scenario_id, event_id
        ON CONFLICT (scenario_id, event_id) DO UPDATE
           SET state = excluded.state, label = excluded.label, end_frame = excluded.end_frame,
               end_time = excluded.end_time, best_frame = excluded.best_frame,
               best_time = excluded.best_time, best_box = excluded.best_box,
               best_confidence = excluded.best_confidence
         WHERE known.state <> 'ended'
    )"""  # noqa: S608 - of the code's own constants

_DELIVERIES = """
    , told AS (
        INSERT INTO deliveries (id, scenario_id, event_id, channel, payload)
        SELECT id, scenario_id, event_id, channel, payload::jsonb
          FROM moved CROSS JOIN LATERAL json_to_recordset({deliveries}::json)
               AS d (id uuid, event_id bigint, channel text, payload text)
        ON CONFLICT (id) DO NOTHING
    )"""

# A run that goes on after another does not know the pictures that are stored, so the better one stays. A
# picture is stored if an event shows it from now on.
_PICTURES = f"""
    , pictured AS (
        INSERT INTO event_pictures AS known (scenario_id, event_id, frame, score, box)
        SELECT scenario_id, event_id, frame, score, box
          FROM moved CROSS JOIN LATERAL json_to_recordset($51::text::json) AS p ({PICTURE_COLUMNS})
        ON CONFLICT (scenario_id, event_id) DO UPDATE
           SET frame = excluded.frame, score = excluded.score, box = excluded.box
         WHERE excluded.score > {CLEARLY_BETTER} * known.score
        RETURNING scenario_id, frame
    ), kept AS (
        INSERT INTO evidence (scenario_id, frame, time, width, height, bytes, picture)
        SELECT scenario_id, frame, time, width, height, octet_length(jpeg), jpeg
          FROM (SELECT DISTINCT scenario_id, frame FROM pictured) AS shown
          JOIN unnest($52::bigint[], $53::double precision[], $54::integer[], $55::integer[], $56::bytea[])
               AS p (frame, time, width, height, jpeg) USING (frame)
        ON CONFLICT DO NOTHING
    )"""  # noqa: S608 - of the code's own constants

_ONE = """
    WITH moved AS (
        UPDATE checkpoints
           SET next_frame = $5, frames_sampled = $6, frames_dropped = $7, frames_failed = $8,
               detections = $9, position_seconds = $10, frames_per_second = $11,
               eligible = coalesce(eligible, $12), replay_frame = $13, replay_sampled = $14,
               source_state = $15, finished = $16, live = $17, updated_at = now(),
               pins = coalesce($30::text::jsonb, pins)
                   || CASE WHEN dated_by > 0 THEN jsonb_build_object('recorded_at', pins->'recorded_at')
                           ELSE jsonb_build_object() END,
               pin_changes = pin_changes || $31::text::jsonb,
               warnings = coalesce($32::text::jsonb, warnings), sizes = sizes || $33::text::jsonb,
               timeline_frame = CASE WHEN timeline_frame = next_frame THEN $5 ELSE timeline_frame END
               {set_analysis}
         WHERE scenario_id = $1 AND attempt = $2 AND run_token = $3 AND next_frame = $4
           AND NOT dropped AND NOT finished
        RETURNING scenario_id, coalesce((footage->>'is_live')::boolean, false) AS has_clock,
                  (pins->>'recorded_at')::double precision AS recorded_at,
                  timeline_frame = next_frame AS is_counted
    ), written AS (
        INSERT INTO predictions (scenario_id, frame, time, labels, confidences, boxes, track_ids, error)
        SELECT scenario_id, frame, time, labels,
               substr($21::bytea, 4 * start + 1, 4 * (stop - start)),
               substr($22::bytea, $34::integer * start + 1, $34 * (stop - start)),
               track_ids::bigint[], error
          FROM moved, ROWS FROM (
            unnest($18::bigint[], $19::double precision[], $20::integer[], $20[2:], $23::text[],
                   $24::text[]),
            string_to_table($25, $26)
          ) AS p (frame, time, start, stop, track_ids, error, labels)
         WHERE frame IS NOT NULL
    ), noted AS (
        INSERT INTO label_blocks AS known (scenario_id, label, block, max_confidence)
        SELECT scenario_id, found.*
          FROM moved, unnest($27::text[], $28::bigint[], $29::real[]) AS found (label, block, confidence)
         WHERE confidence > coalesce((
            SELECT max_confidence FROM label_blocks AS known
             WHERE known.scenario_id = moved.scenario_id AND known.label = found.label
               AND known.block = found.block), -1)
        ON CONFLICT (scenario_id, label, block)
        DO UPDATE SET max_confidence = greatest(known.max_confidence, excluded.max_confidence)
    ), counted AS (
        INSERT INTO timeline_buckets AS known
        SELECT scenario_id, found.*
          FROM moved, unnest($35::text[], $36::bigint[], $37::integer[], $38::integer[], $39::real[],
                             $40::integer[]) AS found
         WHERE is_counted
        ON CONFLICT (scenario_id, label, bucket) DO UPDATE
           SET frames = known.frames + excluded.frames,
               detections = known.detections + excluded.detections,
               max_confidence = greatest(known.max_confidence, excluded.max_confidence),
               failed = known.failed + excluded.failed
    ){write_events}
    SELECT count(*) FROM moved
"""

_SEVERAL = """
    WITH asked AS (
        SELECT * FROM unnest(
            $1::uuid[], $2::integer[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::double precision[], $11::real[], $12::text[], $13::bigint[],
            $14::bigint[], $15::text[], $16::boolean[], $17::boolean[], $18::integer[], $19::integer[],
            $33::text[], $34::text[], $35::text[], $36::text[]
        ) WITH ORDINALITY AS a (
            scenario_id, attempt, run_token, start, stop, sampled, dropped, failed, detections, position,
            frames_per_second, eligible, replay_frame, replay_sampled, source_state, finished, live,
            first_row, last_row, pins, pin_changes, warnings, new_sizes, n)
    ), passed AS (
        -- Locked in the order of their ids, so that statements with several in common cannot deadlock.
        SELECT a.* FROM asked AS a JOIN checkpoints AS c USING (scenario_id)
         WHERE c.attempt = a.attempt AND c.run_token = a.run_token AND c.next_frame = a.start
           AND NOT c.dropped AND NOT c.finished
         ORDER BY scenario_id FOR NO KEY UPDATE OF c
    ), moved AS (
        UPDATE checkpoints AS c
           SET next_frame = p.stop, frames_sampled = p.sampled, frames_dropped = p.dropped,
               frames_failed = p.failed, detections = p.detections, position_seconds = p.position,
               frames_per_second = p.frames_per_second, eligible = coalesce(c.eligible, p.eligible),
               replay_frame = p.replay_frame, replay_sampled = p.replay_sampled,
               source_state = p.source_state, finished = p.finished, live = p.live, updated_at = now(),
               pins = coalesce(p.pins::jsonb, c.pins)
                   || CASE WHEN c.dated_by > 0 THEN jsonb_build_object('recorded_at', c.pins->'recorded_at')
                           ELSE jsonb_build_object() END,
               pin_changes = c.pin_changes || p.pin_changes::jsonb,
               warnings = coalesce(p.warnings::jsonb, c.warnings), sizes = c.sizes || p.new_sizes::jsonb,
               timeline_frame = CASE WHEN c.timeline_frame = c.next_frame
                                     THEN p.stop ELSE c.timeline_frame END
               {set_analysis}
          FROM passed AS p WHERE c.scenario_id = p.scenario_id
        RETURNING c.scenario_id, p.n::integer AS n, p.first_row, p.last_row,
                  coalesce((c.footage->>'is_live')::boolean, false) AS has_clock,
                  (c.pins->>'recorded_at')::double precision AS recorded_at,
                  c.timeline_frame = c.next_frame AS is_counted
    ), written AS (
        INSERT INTO predictions (scenario_id, frame, time, labels, confidences, boxes, track_ids, error)
        SELECT scenario_id, frame, time, labels,
               substr(batch_confidences, 4 * first + 1, 4 * (last - first)),
               substr(batch_boxes, box_size * first + 1, box_size * (last - first)), track_ids::bigint[],
               error
          FROM moved
         CROSS JOIN LATERAL (
            SELECT ($20::bytea[])[n] AS batch_confidences, ($21::bytea[])[n] AS batch_boxes,
                   ($37::integer[])[n] AS box_size OFFSET 0) AS batch
         CROSS JOIN LATERAL ROWS FROM (
            unnest(($22::bigint[])[first_row:last_row], ($23::double precision[])[first_row:last_row],
                   ($24::integer[])[first_row + n - 1:last_row + n - 1], $24[first_row + n:last_row + n],
                   ($25::text[])[first_row:last_row], ($26::text[])[first_row:last_row]),
            string_to_table(($27::text[])[n], $28)
         ) AS row (frame, time, first, last, track_ids, error, labels)
         WHERE frame IS NOT NULL
    ), noted AS (
        INSERT INTO label_blocks AS known (scenario_id, label, block, max_confidence)
        SELECT moved.scenario_id, found.label, found.block, confidence
          FROM moved JOIN unnest($29::integer[], $30::text[], $31::bigint[], $32::real[])
               AS found (n, label, block, confidence) USING (n)
         WHERE confidence > coalesce((
            SELECT max_confidence FROM label_blocks AS known
             WHERE known.scenario_id = moved.scenario_id AND known.label = found.label
               AND known.block = found.block), -1)
        ON CONFLICT (scenario_id, label, block)
        DO UPDATE SET max_confidence = greatest(known.max_confidence, excluded.max_confidence)
    ), counted AS (
        INSERT INTO timeline_buckets AS known
        SELECT scenario_id, label, bucket, frames, detections, confidence, failed
          FROM moved JOIN unnest($38::integer[], $39::text[], $40::bigint[], $41::integer[], $42::integer[],
                                 $43::real[], $44::integer[])
               AS found (n, label, bucket, frames, detections, confidence, failed) USING (n)
         WHERE is_counted
        ON CONFLICT (scenario_id, label, bucket) DO UPDATE
           SET frames = known.frames + excluded.frames,
               detections = known.detections + excluded.detections,
               max_confidence = greatest(known.max_confidence, excluded.max_confidence),
               failed = known.failed + excluded.failed
    ){write_events}
    SELECT n FROM moved
"""


def _one(number: int, kind: str) -> str:
    return f"${number}::{kind}"


def _of_batch(number: int, kind: str) -> str:
    """Return the element of an array that belongs to the batch with the number `n`."""
    return f"(${number}::{kind}[])[n::integer]"


WRITE = _ONE.format(set_analysis="", write_events="")
"""Its parameters are those of `checkpoints.write`."""

_SET_ANALYSIS = "".join(
    f", {column} = coalesce({_one(number, kind)}::{to}, {column})"
    for number, (column, kind, to) in enumerate(_ANALYSIS_COLUMNS, 41)
)
_WRITE_EVENTS = _EVENTS.format(is_live="$17", events=_one(49, "text"))
_WRITE_DELIVERIES = _WRITE_EVENTS + _DELIVERIES.format(deliveries=_one(50, "text"))

WRITE_WITH_ANALYSIS = _ONE.format(set_analysis=_SET_ANALYSIS, write_events="")
"""Has eight more parameters: those of `checkpoints.analysis_values`."""

WRITE_WITH_EVENTS = _ONE.format(set_analysis=_SET_ANALYSIS, write_events=_WRITE_EVENTS)
"""Has one more parameter: the events."""

WRITE_WITH_DELIVERIES = _ONE.format(set_analysis=_SET_ANALYSIS, write_events=_WRITE_DELIVERIES)
"""Has one more parameter: the deliveries as JSON."""

WRITE_WITH_PICTURES = _ONE.format(set_analysis=_SET_ANALYSIS, write_events=_WRITE_DELIVERIES + _PICTURES)
"""Has six more parameters: those of `evidence.encode_pictures`."""

WRITE_SEVERAL = _SEVERAL.format(set_analysis="", write_events="")
"""Its parameters are arrays over the batches, or over all their rows."""

_SET_ANALYSIS_OF_SEVERAL = "".join(
    f", {column} = coalesce({_of_batch(number, kind)}::{to}, c.{column})"
    for number, (column, kind, to) in enumerate(_ANALYSIS_COLUMNS, 45)
)
WRITE_SEVERAL_WITH_ANALYSIS = _SEVERAL.format(set_analysis=_SET_ANALYSIS_OF_SEVERAL, write_events="")
"""Has eight more arrays, with one value for each batch."""

_WRITE_EVENTS_OF_SEVERAL = _EVENTS.format(is_live=_of_batch(17, "boolean"), events=_of_batch(53, "text"))
WRITE_SEVERAL_WITH_EVENTS = _SEVERAL.format(
    set_analysis=_SET_ANALYSIS_OF_SEVERAL, write_events=_WRITE_EVENTS_OF_SEVERAL
)
"""Has one more array: the events of each batch."""

WRITE_SEVERAL_WITH_DELIVERIES = _SEVERAL.format(
    set_analysis=_SET_ANALYSIS_OF_SEVERAL,
    write_events=_WRITE_EVENTS_OF_SEVERAL + _DELIVERIES.format(deliveries=_of_batch(54, "text")),
)
"""Has one more array: the deliveries of each batch."""
