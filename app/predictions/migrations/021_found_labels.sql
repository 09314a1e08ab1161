-- In which scenarios a label was found: each of them is read once, however many blocks it has.

CREATE INDEX label_blocks_by_label ON label_blocks (label, scenario_id);
