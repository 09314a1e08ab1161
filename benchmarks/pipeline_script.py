"""The same as benchmarks.script with Roboflow's InferencePipeline, whose threads read and infer.

Run it with an interpreter that has the packages `inference` and `asyncpg`:
`python -m benchmarks.pipeline_script VIDEO DSN MODEL`. It prints what benchmarks.script prints.
"""

import asyncio
import sys
import time
from typing import Any

import asyncpg
from inference import InferencePipeline

from benchmarks.script import INSERT, TABLE, Box, Yolo


def run(video: str, dsn: str, model: str) -> None:
    """Analyse the video, and print the seconds and CPU seconds."""
    detector = Yolo(model)
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(dsn))
    loop.run_until_complete(connection.execute(TABLE))
    frames = 0

    def infer(batch: list[Any]) -> list[list[Box]]:
        return [detector.detect(frame.image) for frame in batch]

    def store(found: list[Box], frame: Any) -> None:
        nonlocal frames
        frames += 1
        rows = [(frame.frame_id, *each) for each in found]
        loop.run_until_complete(connection.executemany(INSERT, rows))

    began, spent = time.perf_counter(), time.process_time()
    pipeline = InferencePipeline.init_with_custom_logic(
        video_reference=video, on_video_frame=infer, on_prediction=store
    )
    pipeline.start()
    pipeline.join()
    print(frames, time.perf_counter() - began, time.process_time() - spent)


if __name__ == "__main__":
    run(*sys.argv[1:])
