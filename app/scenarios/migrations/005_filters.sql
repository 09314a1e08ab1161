-- Lists of the scenarios that ended in one way, and of those of one source.

CREATE INDEX scenarios_ended ON scenarios (outcome, created_at DESC, id DESC)
    WHERE deleted_at IS NULL AND outcome IS NOT NULL;
-- Of its hash: a source can be longer than an entry of an index.
CREATE INDEX scenarios_of_source ON scenarios (md5(spec->>'source'), created_at DESC, id DESC)
    WHERE deleted_at IS NULL;
