-- Scenarios, their history, and the outbox: messages that must be published.

CREATE TABLE scenarios (
    id               uuid PRIMARY KEY,
    spec             jsonb NOT NULL,            -- ScenarioSpec, as it was requested
    state            text NOT NULL CHECK (state IN ('init_startup', 'in_startup_processing', 'active',
                                                    'init_shutdown', 'in_shutdown_processing', 'inactive')),
    outcome          text CHECK (outcome IN ('completed', 'stopped', 'failed')),
    error            text,                      -- the last failure in plain words; kept during retries
    attempt          integer NOT NULL CHECK (attempt >= 1),
    runner_id        text,                      -- the instance that holds the run: name and boot
    boot_id          uuid,
    lease_renewed_at timestamptz,
    failures         integer NOT NULL DEFAULT 0 CHECK (failures >= 0),  -- consecutive attempts without progress
    next_frame       bigint NOT NULL DEFAULT 0 CHECK (next_frame >= 0), -- the furthest a runner has reported
    progressed       boolean NOT NULL DEFAULT false,  -- whether this attempt stored anything
    not_before       timestamptz NOT NULL DEFAULT now(),                -- backoff: not dispatched before
    waiting_since    timestamptz NOT NULL DEFAULT now(),                -- the oldest is dispatched first
    media            jsonb,                     -- Media, once the source was opened
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    deleted_at       timestamptz,               -- a tombstone: the id is never used again
    CONSTRAINT outcome_when_inactive CHECK ((state = 'inactive') = (outcome IS NOT NULL)),
    CONSTRAINT failed_says_why CHECK (outcome <> 'failed' OR error IS NOT NULL),
    CONSTRAINT held_by_an_instance CHECK ((runner_id IS NULL) = (boot_id IS NULL)
                                          AND (runner_id IS NULL) = (lease_renewed_at IS NULL)),
    CONSTRAINT held_while_it_runs CHECK (
        (state IN ('in_startup_processing', 'active', 'init_shutdown', 'in_shutdown_processing'))
        = (runner_id IS NOT NULL)),
    CONSTRAINT deleted_when_inactive CHECK (deleted_at IS NULL OR state = 'inactive')
);

CREATE INDEX scenarios_newest ON scenarios (created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX scenarios_waiting ON scenarios (waiting_since) WHERE state = 'init_startup';
CREATE INDEX scenarios_held ON scenarios (runner_id, boot_id) WHERE runner_id IS NOT NULL;

CREATE TABLE scenario_events (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid         xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- with the snapshot's xmin: a resumable order
    scenario_id uuid NOT NULL REFERENCES scenarios (id),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    from_state  text,                                        -- null for the first
    to_state    text NOT NULL,
    attempt     integer NOT NULL,
    runner_id   text,
    reason      text NOT NULL
);

CREATE INDEX scenario_events_of ON scenario_events (scenario_id, id);
CREATE INDEX scenario_events_resume ON scenario_events (xid, id);

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic      text NOT NULL,
    key        text NOT NULL,
    message    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE handled_commands (
    command_id uuid PRIMARY KEY,
    answer     text NOT NULL CHECK (answer IN ('done', 'conflict', 'unknown', 'mismatch')),
    detail     text NOT NULL DEFAULT '',
    handled_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX handled_commands_age ON handled_commands (handled_at);

CREATE TABLE runners (
    runner_id     text NOT NULL,
    boot_id       uuid NOT NULL,
    slots         integer NOT NULL CHECK (slots >= 0),
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at  timestamptz NOT NULL DEFAULT now(),
    left_at       timestamptz,                     -- it gets no more runs, and drains those it has
    superseded    boolean NOT NULL DEFAULT false,  -- a newer instance took its name: its leases end
    PRIMARY KEY (runner_id, boot_id)
);
