-- One scenario's life: what is written for it in both databases, a transaction for each decision.

-- The command: the scenario, the first line of its history, the answer.
BEGIN;
WITH created AS (
    INSERT INTO scenarios (id, spec, state, attempt)
    VALUES (gen_random_uuid(), '{"source":"frame.mp4","detector":{"type":"mock","seed":1,"rate":3.0},"sampling":{"mode":"all"},"restart":{"policy":"on_failure","max_restarts":5},"name":""}', 'init_startup', 1)
    ON CONFLICT (id) DO NOTHING RETURNING id
), told AS (
    INSERT INTO scenario_events (scenario_id, to_state, attempt, reason) SELECT id, 'init_startup', 1, 'created' FROM created
)
SELECT id AS scenario FROM created \gset
INSERT INTO handled_commands (command_id, answer, detail) VALUES (gen_random_uuid(), 'done', '') ON CONFLICT DO NOTHING;
COMMIT;

-- It is handed to a runner.
BEGIN;
SELECT id, spec, state, outcome, error, attempt, runner_id, boot_id, failures, next_frame, progressed, media, deleted_at IS NOT NULL AS deleted
  FROM scenarios WHERE id = :scenario::uuid FOR UPDATE;
WITH saved AS (
    UPDATE scenarios SET state = 'in_startup_processing', runner_id = 'bench', boot_id = '6d7d45bb-25f5-4ba0-8a0e-0d3f1c0cf2a1',
           lease_renewed_at = clock_timestamp(), not_before = now(), updated_at = now() WHERE id = :scenario::uuid
), told AS (
    INSERT INTO scenario_events (scenario_id, from_state, to_state, attempt, runner_id, reason)
    VALUES (:scenario::uuid, 'init_startup', 'in_startup_processing', 1, 'bench', 'dispatched to bench')
)
INSERT INTO outbox (topic, key, message)
VALUES ('runner_commands', :scenario::text, jsonb_build_object('type', 'StartRun', 'instance', '{"runner_id":"bench","boot_id":"6d7d45bb-25f5-4ba0-8a0e-0d3f1c0cf2a1"}'::jsonb, 'scenario_id', :scenario::text, 'attempt', 1, 'spec', '{"source":"frame.mp4","detector":{"type":"mock","seed":1,"rate":3.0},"sampling":{"mode":"all"},"restart":{"policy":"on_failure","max_restarts":5},"name":""}'::jsonb))
RETURNING id AS message \gset
COMMIT;

-- The relay.
DELETE FROM outbox WHERE id = :message::bigint;

-- The run: its claim, and its one batch.
INSERT INTO checkpoints AS c (scenario_id, attempt, run_token) VALUES (:scenario::uuid, 1, gen_random_uuid())
ON CONFLICT (scenario_id) DO UPDATE SET attempt = excluded.attempt, run_token = excluded.run_token
 WHERE NOT c.dropped AND c.attempt < excluded.attempt RETURNING *;
WITH moved AS (
    UPDATE checkpoints
       SET next_frame = 1, frames_sampled = 1, detections = 3, frames_per_second = 25, eligible = 'all',
           replay_frame = 1, replay_sampled = 1, source_state = 'closed', finished = true, updated_at = now()
     WHERE scenario_id = :scenario::uuid AND attempt = 1 AND next_frame = 0 AND NOT dropped AND NOT finished
    RETURNING scenario_id
), written AS (
    INSERT INTO predictions (scenario_id, frame, time, labels, confidences, boxes)
    SELECT scenario_id, 0, 0, E'person\ncar\nbicycle', decode(repeat('3f000000', 3), 'hex'), decode(repeat('43480000', 12), 'hex')
      FROM moved
)
INSERT INTO label_blocks (scenario_id, label, block, max_confidence)
SELECT scenario_id, unnest(ARRAY['person', 'car', 'bicycle', '']), 0, 0.5 FROM moved;

-- What the runner tells: it began, and it ended.
BEGIN;
SELECT id, spec, state, outcome, error, attempt, runner_id, boot_id, failures, next_frame, progressed, media, deleted_at IS NOT NULL AS deleted
  FROM scenarios WHERE id = :scenario::uuid FOR UPDATE;
WITH saved AS (
    UPDATE scenarios SET state = 'active', not_before = now(), updated_at = now(),
           media = '{"width":64,"height":64,"fps":30.0,"frames":1,"duration_seconds":0.03,"live": false}'
     WHERE id = :scenario::uuid
)
INSERT INTO scenario_events (scenario_id, from_state, to_state, attempt, runner_id, reason)
VALUES (:scenario::uuid, 'in_startup_processing', 'active', 1, 'bench', 'first frame decoded');
COMMIT;
BEGIN;
SELECT id, spec, state, outcome, error, attempt, runner_id, boot_id, failures, next_frame, progressed, media, deleted_at IS NOT NULL AS deleted
  FROM scenarios WHERE id = :scenario::uuid FOR UPDATE;
WITH saved AS (
    UPDATE scenarios SET state = 'inactive', outcome = 'completed', next_frame = 1, progressed = true, runner_id = NULL,
           boot_id = NULL, lease_renewed_at = NULL, not_before = now(), updated_at = now()
     WHERE id = :scenario::uuid
)
INSERT INTO scenario_events (scenario_id, from_state, to_state, attempt, runner_id, reason)
VALUES (:scenario::uuid, 'active', 'inactive', 1, 'bench', 'stored to the end of the recording');
COMMIT;
