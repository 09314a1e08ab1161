"""Take stored results away as files: CSV, JSON Lines, COCO, MOT."""
