"""This machine: disks, video, the built-in model and the inference backend."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from ...concurrency.cores import usable_cores
from ...detectors.backends.choice import make_backend
from ...detectors.backends.session import Backend, BackendError
from ...detectors.base import DetectorError
from ...detectors.objects.detector import ObjectsDetector
from ...detectors.onnx.cache import ModelCache
from ...domain.detector_config import PLUGINS, Objects
from ...domain.media import Media
from ...domain.source import parse_source
from ...postgres.embedded.disk_space import MIN_FREE
from ...settings import Settings
from ...video.errors import VideoError
from ...video.lookup.finder import TooSlowError
from ...video.lookup.protocol import TryJob
from ...video.lookup.trial import try_source
from ...video.pictures import AvPicture
from ...video.sample import write_sample
from .finding import Finding, gigabytes, sentence

_LITTLE = 1e9  # bytes
_NEW_DATABASE = 100e6  # bytes: an empty one takes 75 MB, and MIN_FREE must be left
_WIDTH = 640
_SLOWEST = 60.0  # seconds for one picture
_TIMEOUT = 5.0  # seconds


def check_disks(settings: Settings) -> Iterator[Finding]:
    """Yield the free space of each disk that is written to. Blocks."""
    if settings.roles == {"inference"}:
        return
    stores = "runner" in settings.roles and settings.predictions_dsn is None
    if settings.scenarios_dsn is None or stores:
        is_there = os.path.exists(settings.data_dir / "postgres" / "data")  # noqa: PTH110 - never fails
        needed = MIN_FREE if is_there else _NEW_DATABASE
        yield _check_disk("data", settings.data_dir, "VA_DATA_DIR", needed)
    if stores and settings.evidence_max_gb:
        free = _free(settings.data_dir)
        most = settings.evidence_max_gb * 1e9
        if free < most:
            text = f"Pictures of events may take {gigabytes(most)}, and {gigabytes(free)} are free."
            yield Finding("disk of evidence", "warn", text, "Lower VA_EVIDENCE_MAX_GB, or make room.")
        else:
            text = f"pictures of events take at most {gigabytes(most)} of {gigabytes(free)} free"
            yield Finding("disk of evidence", "ok", text)
    if "api" in settings.roles and settings.takes_uploads:
        least = settings.upload_min_free_gb * 1e9
        yield _check_disk("uploads", settings.media_root, "VA_MEDIA_ROOT", least=least)


def _check_disk(
    what: str, folder: Path, variable: str, needed: float = MIN_FREE, least: float = 0.0
) -> Finding:
    """Return whether `needed` bytes are free, without which nothing works, and the `least` of uploads."""
    subject, place = f"disk of {what}", _existing(folder)
    if not os.access(place, os.W_OK):
        advice = f"Allow this user to write there, or name another folder in {variable}."
        return Finding(subject, "fail", f"The folder {place} cannot be written.", advice)
    free = _free(folder)
    text = f"{gigabytes(free)} free in {folder.absolute()}"
    if free < needed:
        advice = f"Make room for {gigabytes(needed)}, or name another folder in {variable}."
        return Finding(subject, "fail", sentence(text), advice)
    if free < least:
        advice = f"Uploads must leave {gigabytes(least)} (VA_UPLOAD_MIN_FREE_GB): make room."
        return Finding(subject, "warn", sentence(text), advice)
    if free < _LITTLE:
        return Finding(subject, "warn", sentence(text), "Make room: a full disk stops every scenario.")
    return Finding(subject, "ok", text)


def _existing(folder: Path) -> Path:
    """Return the folder, or the one in which it will be made."""
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if os.path.exists(each))  # noqa: PTH110 - as above


def _free(folder: Path) -> int:
    disk = os.statvfs(_existing(folder))
    return disk.f_bavail * disk.f_frsize


def check_video_and_model(settings: Settings) -> Iterator[Finding]:
    """Yield whether a clip can be written and decoded, and the built-in model computed. Blocks."""
    picture = None
    if "runner" in settings.roles:
        try:
            picture, media = _first_picture()
            text = f"a clip of {media.codec} was encoded and decoded" if media else "a clip was decoded"
            yield Finding("video", "ok", text)
        except (OSError, VideoError, TooSlowError, ValueError) as error:
            advice = "Install its library again: pip install --force-reinstall av"
            yield Finding("video", "fail", sentence(error), advice)
    if settings.roles & {"runner", "inference"}:
        yield from _check_inference(settings, picture)
    for fault in PLUGINS.faults.values():
        yield Finding("plug-ins", "warn", sentence(fault), "Install the plug-in again, or remove it.")


def _first_picture() -> tuple[AvPicture, Media | None]:
    with TemporaryDirectory() as folder:
        path = write_sample(Path(folder))
        return try_source(TryJob(parse_source(path.name), folder, "", _WIDTH, _SLOWEST))


def _check_inference(settings: Settings, picture: AvPicture | None) -> Iterator[Finding]:
    subject = "inference"
    if settings.inference == "remote":
        yield from (_check_server(url, settings.inference_key) for url in settings.inference_urls)
        return
    try:
        backend: Backend = make_backend(settings.inference, settings.inference_precision, usable_cores())
        detector = ObjectsDetector(Objects(), ModelCache(settings.model_root, backend))
        if picture is not None:
            detector.detect(picture, 0)
    except BackendError as error:
        yield Finding(subject, "fail", sentence(error))
        return
    except DetectorError as error:
        yield Finding(subject, "fail", sentence(error), "Choose another VA_INFERENCE, or leave it out.")
        return
    done = "the built-in model computed a picture" if picture else "the built-in model was loaded"
    precision = f" ({backend.precision})" if backend.precision else ""
    yield Finding(subject, "ok", f"{backend.name}{precision} on {usable_cores()} cores: {done}")


def _check_server(url: str, key: str | None) -> Finding:
    subject, address = f"inference server {url}", f"{url.rstrip('/')}/v2/health/ready"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        status = httpx.get(address, headers=headers, timeout=_TIMEOUT).status_code
    except httpx.HTTPError as error:
        advice = "Start it, or correct VA_INFERENCE_URLS. Scenarios wait for it."
        return Finding(subject, "fail", f"It does not answer: {str(error) or type(error).__name__}.", advice)
    if status in (401, 403):
        return Finding(subject, "fail", "It refuses the key.", "Correct VA_INFERENCE_KEY.")
    if status != httpx.codes.OK:
        return Finding(subject, "warn", f"It is not ready (status {status}).", "See its log.")
    return Finding(subject, "ok", "it is ready")
