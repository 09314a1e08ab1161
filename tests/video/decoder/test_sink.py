"""What a decoder process sends, and when it waits."""

import threading

import numpy as np

from app.video.decoder.protocol import DecoderMessage, SharedFrame
from app.video.decoder.shared_frames import Pixels
from app.video.decoder.sink import SharedMemorySink
from app.video.pictures import AvPicture
from app.video.reading import ReadStatus, SampledFrame, Watermark
from tests.video.test_pictures import frame


class RecordingSink(SharedMemorySink):
    """A sink with one slot, that keeps what it sends."""

    def __init__(self, *, live: bool) -> None:
        super().__init__(None, np.empty(2**20, np.uint8), 1)  # type: ignore[arg-type]
        self.sent: list[DecoderMessage] = []
        self.note(ReadStatus("open", is_live=live))
        self.sent.clear()

    def send(self, message: DecoderMessage) -> None:
        self.sent.append(message)

    def told(self) -> list[tuple[int, int]]:
        """Of each message its frame, or its end and how many were dropped."""
        return [
            (message.frame, -1) if isinstance(message, SharedFrame) else (message.end, message.dropped)
            for message in self.sent
            if isinstance(message, SharedFrame | Watermark)
        ]


def sampled(number: int) -> SampledFrame:
    return SampledFrame(number, number / 10, None, AvPicture(frame("yuv420p", 64, 48)))


def test_a_live_source_keeps_the_newest_picture_until_there_is_room() -> None:
    sink = RecordingSink(live=True)
    for number in (0, 1, 2):
        assert sink.put(sampled(number))
    sink.put(Watermark(4, 0.3))
    assert sink.told() == [(0, -1), (2, 1)]
    sink.free(0)
    sink.put(Watermark(5, 0.4))
    assert sink.told() == [(0, -1), (2, 1), (2, -1), (5, 0)]
    assert isinstance(sink.sent[0], SharedFrame)
    assert isinstance(sink.sent[0].pixels, Pixels)


def test_a_recording_waits_for_room_until_it_is_stopped() -> None:
    sink = RecordingSink(live=False)
    sink.put(sampled(0))
    more: list[bool] = []
    waiting = threading.Thread(target=lambda: more.extend(sink.put(sampled(number)) for number in (1, 2)))
    waiting.start()
    sink.free(0)
    waiting.join(0.3)
    assert waiting.is_alive()
    assert sink.told() == [(0, -1), (1, -1)]
    sink.stop()
    waiting.join(5)
    assert more == [True, False]
    assert not waiting.is_alive()
