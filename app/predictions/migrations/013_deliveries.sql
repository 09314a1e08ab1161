-- What the notifier sends: each event once to each channel. A pending row with a lease is being sent.

CREATE TABLE deliveries (
    id           uuid PRIMARY KEY,      -- derived from scenario, event and channel; random for a test
    number       bigint NOT NULL GENERATED ALWAYS AS IDENTITY UNIQUE,  -- the order of sending
    scenario_id  uuid NOT NULL,         -- of a test: its own id, so that nothing waits for it
    event_id     bigint,                -- null for a test of the channel
    channel      text NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'dead')),
    attempts     integer NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    waits_since  timestamptz NOT NULL DEFAULT clock_timestamp(),  -- its creation, or its last retry by hand
    due_at       timestamptz NOT NULL DEFAULT clock_timestamp(),  -- the next attempt, or the end of the lease
    lease        uuid,                  -- of the claim under which it is being sent
    ended_at     timestamptz,
    error        text,                  -- of the last attempt
    payload      jsonb NOT NULL,        -- Told
    CHECK ((ended_at IS NULL) = (state = 'pending')),
    CHECK (lease IS NULL OR state = 'pending')
);

CREATE INDEX deliveries_pending ON deliveries (channel, scenario_id, number) WHERE state = 'pending';
CREATE INDEX deliveries_oldest ON deliveries (channel, number) WHERE state = 'pending';
CREATE INDEX deliveries_dead ON deliveries (channel, number) WHERE state = 'dead';
CREATE INDEX deliveries_of_channel ON deliveries (channel, number);
CREATE INDEX deliveries_of_scenario ON deliveries (scenario_id, number);
CREATE INDEX deliveries_ended ON deliveries (ended_at) WHERE state <> 'pending';
