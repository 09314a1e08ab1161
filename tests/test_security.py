"""The numbers that SECURITY.md states are those of the code. What they bound is tested beside it."""

import pytest
from msgspec.structs import fields

from app import waiting_clients
from app.api import ApiOptions, application, new_scenario
from app.api.http import limits, requests, sending, sessions
from app.api.http.still_pictures import MAX_PIXELS as MAX_STILL_PIXELS
from app.api.queries import history, predictions, scenarios
from app.api.routes import models, pictures, sources, uploads
from app.detectors.oip import framing
from app.detectors.remote import http_server
from app.inference import batching, bodies
from app.notifier.service import NotifierTiming
from app.settings import Settings
from app.video import (
    avi_lists,
    begun_file,
    declared_index,
    encryption_lists,
    formats,
    losses,
    matroska_lists,
    memory,
)
from app.video.decoder import confinement, parent
from app.video.lookup import processes
from app.video.lookup.protocol import FrameJob
from app.video.transport import playlist
from tests.support.paths import ROOT

KIB, MIB, GIB = 2**10, 2**20, 2**30
PAGE = " ".join((ROOT / "SECURITY.md").read_text().split())
INDEX = declared_index
LISTS = matroska_lists
TEXT = playlist.MAX_SIZE
WORDS = {4: "four", 10: "ten"}


@pytest.mark.parametrize(
    "sentence",
    [
        (
            f"{formats.MAX_ALLOCATION // MIB} MiB per allocation and {INDEX.MAX_TRACKS} streams"
            f" ({INDEX.MAX_ALL_TRACKS} in an mp4 or Matroska file, of which {INDEX.MAX_TRACKS} may be video)"
        ),
        f"at most {INDEX.MAX_SAMPLES // 1_000_000} million in all its tracks",
        f"million (up to {round(INDEX.MAX_SAMPLES * avi_lists._BYTES_PER_ENTRY / MIB, -1):.0f} MiB)",
        f"one of sound counts as {avi_lists._DIVIDED:,}",
        f"at most {avi_lists._MOST_PER_TRACK // MIB} MiB for each track",
        f"then it may have {INDEX.MAX_UNCOUNTED_TRACKS} tracks",
        f"may list {LISTS.MAX_LISTED // MIB} MiB of tracks and chapters",
        f"{LISTS.MAX_TAGS // KIB} KiB of tags, {LISTS.MAX_ATTACHED // MIB} MiB of attachments",
        f"and {LISTS.MAX_POINTS:,} index entries",
        f"{encryption_lists.MAX_SAMPLES:,} samples are encrypted (up to 95 MiB)",
        f"for {encryption_lists.MAX_KEY_SYSTEMS} systems of keys",
        f"at most {begun_file.MAX_BEGINNING // MIB} MiB are read before the first pictures",
        f"out of {memory.SHARED // GIB} GiB for all runs of a process",
        f"Each run may take {memory.ALLOWANCE // MIB} MiB for its index",
        f"a run has at most {confinement._MEMORY / GIB:g} GiB (Linux)",
        f"it waits for {memory._PATIENCE:g} seconds",
        f"A local file that is not open after {formats.OPEN_TIMEOUT:g} seconds",
        (
            f"pictures wait for a decoder that gives none; and flags of damage alone add at most"
            f" {WORDS.get(losses._MAX_SHARE_UNSEEN)} missing frames"
        ),
        f"one at a time and for at most {sources.SECONDS + processes._GRACE:g} seconds",
        f"a request waits at most {processes.PATIENCE:g} seconds for its turn",
        f"may have {TEXT.text_bytes // MIB} MiB, {TEXT.lines:,} lines and {TEXT.address_bytes // MIB} MiB of",
        (
            f"can send {Settings().inference_max_body_mb} MiB at most (`VA_INFERENCE_MAX_BODY_MB`), and hold"
            f" {WORDS.get(bodies.AT_ONCE)} such bodies and {batching.MAX_WAITING} waiting requests"
        ),
        f"an answer has at most {http_server.MAX_ANSWER // MIB} MiB",
        f"MiB, {framing.MAX_JSON_VALUES // 1_000_000} million numbers of JSON",
        f"an attempt takes at most {NotifierTiming().attempt:g} seconds",
        (
            "at most `VA_UPLOAD_MAX_GB`, leaving `VA_UPLOAD_MIN_FREE_GB` on the disk, and"
            f" {WORDS.get(uploads.AT_ONCE)} at once"
        ),
        f"bodies of at most {application.MAX_BODY // 1_000_000} MB within {requests.BODY_TIMEOUT} seconds",
        (
            f"{models.MAX_PICTURE // 1_000_000} MB and 8192×4352 pixels, one at a time,"
            f" {WORDS.get(models.MOST_WAITING)} waiting"
        ),
        f"requests per second and hold {limits._MAX_OPEN} open, event streams included",
        (
            f"allow each address {limits._RATE_WITHOUT_KEY:g} requests per second, and"
            f" {limits._BURST_WITHOUT_KEY} at once"
        ),
        f"After about {limits._REFUSAL_BURST} refusals",
        f"predictions, scenarios or history ends after about {scenarios.MAX_PAGE // 1_000_000} MB",
        f"its connection is closed after {sending.SEND_TIMEOUT:g} seconds without reading",
        f"A client has {waiting_clients.TIMEOUT:g} seconds to send the head",
        f"must bring {waiting_clients._PROGRESS // MIB} MiB in that time",
        f"Of more than {waiting_clients.MAX_WAITING:,} connections without a request",
        f"A scenario takes at most {new_scenario.MAX_SPEC // 1000} KB as JSON",
        f"At most {ApiOptions(version='1').max_streams} event streams may be open in a process",
        f"and {pictures._MOST_STREAMS} streams of live pictures",
        f"{sessions.LIFETIME // 3600} hours later, and an HMAC",
    ],
)
def test_the_page_states_the_numbers_of_the_code(sentence: str) -> None:
    assert sentence in PAGE


def test_what_the_page_states_once_holds_everywhere() -> None:
    assert scenarios.MAX_PAGE == history.MAX_PAGE == predictions.MAX_PAGE
    assert formats.MAX_PIXELS == MAX_STILL_PIXELS == 8192 * 4352
    assert "at most 8192 × 4352 pixels" in PAGE
    (picture,) = (field.default for field in fields(FrameJob) if field.name == "seconds")
    assert f"are killed when a picture takes {processes._STARVED_SECONDS:g} seconds" in PAGE
    assert f"and is killed after {picture + processes._GRACE:g} seconds" in PAGE
    assert parent.SILENCE == 60
    assert "a process that hangs for a minute is killed" in PAGE
    assert memory.MAX_PIXELS_OF_ALL == 4096 * 3072
    assert "with pictures of at most 4096x3072" in PAGE
