"""Pictures in requests and responses: JPEG and PNG, bounded before they are decoded."""

import struct
from collections.abc import Sequence

import cv2
import numpy as np

from ...detectors.image_picture import ImagePicture
from ...domain.prediction import Detection
from ...video.drawing import Overlay, draw, encode_jpeg

MAX_PIXELS = 8192 * 4352
PICTURE_TYPES = ("image/jpeg", "image/png")

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_JPEG = b"\xff\xd8"
_SCAN = b"\xff\xda"
_MOST_SCANS = 100  # at most 12 are usual, and chance adds a few; each takes 33 ms of the largest picture
_QUALITY = 90


class PictureError(Exception):
    """A picture cannot be used. The text tells the client why."""


def decode_picture(content: bytes) -> ImagePicture:
    """Return the picture in a JPEG or PNG file.

    Raises:
        PictureError: it is neither, is damaged, or has more than MAX_PIXELS
    """
    size = _size_of(content)
    if size is None:
        raise PictureError("The body is no JPEG or PNG picture, or its beginning is damaged.")
    width, height = size
    if width * height > MAX_PIXELS:
        raise PictureError(f"The picture has {width}×{height} pixels. Send one of at most 8192×4352.")
    if content.startswith(_JPEG) and content.count(_SCAN) > _MOST_SCANS:
        raise PictureError(f"The picture has more than {_MOST_SCANS} scans. Save it as a baseline JPEG.")
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        image = None
    if image is None:
        raise PictureError("The picture cannot be decoded: its data are damaged.")
    return ImagePicture(np.asarray(image, np.uint8))


def annotate(picture: ImagePicture, detections: Sequence[Detection]) -> bytes:
    """Return a JPEG of the picture with a box and a label for each detection."""
    return encode_jpeg(draw(picture.bgr(), Overlay(tuple(detections))), _QUALITY)


def _size_of(content: bytes) -> tuple[int, int] | None:
    """Return the width and height that the file declares, None if it is neither a JPEG nor a PNG."""
    if content.startswith(_PNG) and len(content) >= len(_PNG) + 8:
        width, height = struct.unpack_from(">II", content, len(_PNG))
        return width, height
    if not content.startswith(_JPEG):
        return None
    at = len(_JPEG)
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xDA:  # without a length, or after a start of frame
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a start of frame
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    return None
