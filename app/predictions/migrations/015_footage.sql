-- What a scenario asks that analyses what another one stored: pinned by its first run.

-- {scenario_id, first, end, until, has_tracks, is_live}: the frames of that scenario from `first` to before `end`.
ALTER TABLE checkpoints ADD COLUMN footage jsonb;
