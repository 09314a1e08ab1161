"""What a user would write instead: OpenCV, ONNX Runtime with its defaults, and one INSERT per frame.

Run it as a process: `python -m benchmarks.script VIDEO DSN MODEL`. With `motion` for MODEL it looks at two
frames per second. It prints the seconds and the CPU seconds, without imports and loading.
"""

import asyncio
import sys
import time

import asyncpg
import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

Box = tuple[str, float, float, float, float, float]

CONFIDENCE, OVERLAP = 0.25, 0.45
TABLE = """
    DROP TABLE IF EXISTS found;
    CREATE TABLE found (frame int, label text, confidence real, x1 real, y1 real, x2 real, y2 real)
"""
INSERT = "INSERT INTO found VALUES ($1, $2, $3, $4, $5, $6, $7)"


class Yolo:
    """A YOLOv8 run by ONNX Runtime with its defaults."""

    def __init__(self, path: str) -> None:
        self._session = onnxruntime.InferenceSession(path)
        self._input = self._session.get_inputs()[0]

    def detect(self, image: NDArray[np.uint8]) -> list[Box]:
        height, width = self._input.shape[2:]
        scale = min(width / image.shape[1], height / image.shape[0])
        size = round(image.shape[1] * scale), round(image.shape[0] * scale)
        canvas = np.full((height, width, 3), 114, np.uint8)
        canvas[: size[1], : size[0]] = cv2.resize(image, size)
        blob = cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True)
        answer = self._session.run(None, {self._input.name: blob})[0][0].T
        scores = answer[:, 4:].max(axis=1)
        sure = scores > CONFIDENCE
        rows, scores = answer[sure], scores[sure]
        corners = np.column_stack((rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]))
        kept = cv2.dnn.NMSBoxes(corners.tolist(), scores.tolist(), CONFIDENCE, OVERLAP)
        found: list[Box] = []
        for index in kept:
            x, y, w, h = (float(side) for side in corners[index] / scale)
            found.append((f"class:{rows[index, 4:].argmax()}", float(scores[index]), x, y, x + w, y + h))
        return found


class Motion:
    """Background subtraction as in the service, on two frames per second."""

    def __init__(self) -> None:
        self._background = cv2.createBackgroundSubtractorMOG2(detectShadows=False)

    def detect(self, image: NDArray[np.uint8]) -> list[Box]:
        small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (640, 360), interpolation=cv2.INTER_AREA)
        mask = cv2.morphologyEx(self._background.apply(small), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        scale = image.shape[1] / 640
        found: list[Box] = []
        for contour in contours:
            if cv2.contourArea(contour) > 100:
                x, y, w, h = (side * scale for side in cv2.boundingRect(contour))
                found.append(("motion", 1.0, x, y, x + w, y + h))
        return found


async def run(video: str, dsn: str, model: str) -> None:
    """Analyse the video, and print the seconds and CPU seconds."""
    detector = Motion() if model == "motion" else Yolo(model)
    connection = await asyncpg.connect(dsn)
    await connection.execute(TABLE)
    began, spent = time.perf_counter(), time.process_time()
    capture = cv2.VideoCapture(video)
    every = round(capture.get(cv2.CAP_PROP_FPS) / 2) if model == "motion" else 1
    frame = 0
    while True:
        ok, image = capture.read()
        if not ok:
            break
        if frame % every == 0:
            rows = [(frame, *found) for found in detector.detect(np.asarray(image, np.uint8))]
            await connection.executemany(INSERT, rows)
        frame += 1
    print(frame, time.perf_counter() - began, time.process_time() - spent)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
