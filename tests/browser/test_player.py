"""The page of a scenario: pictures with their boxes, moments, events and the timeline."""

import re
from collections.abc import AsyncIterator
from typing import Any

import cv2
import numpy as np
import pytest
import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import Locator, Page, expect

from app.domain.analysis import Line, Zone
from tests.browser.looking import look
from tests.browser.site import Site, open_site
from tests.support.clips import Encoding, marker_clip
from tests.support.databases import Databases
from tests.support.rows import MEDIA, SPEC, add_checkpoint, add_found, add_prediction, add_scenario, packed
from tests.support.timelines import fill_timeline
from tests.support.waiting import until

expect.set_options(timeout=30_000)

FRAMES, SIZE = 40, (320, 240)
VARIED = [n / 30 + 0.4 * (n // 16) + 0.02 * (n % 7 == 3) for n in range(FRAMES)]
CLIPS: dict[str, Encoding] = {
    "bframes.mp4": {"gop": 20, "bframes": 3},
    "varied.mp4": {"times": VARIED, "gop": 10},
    "turned.mp4": {"rotation": 90},
    "late.mkv": {"first_time": 5.0},
    "hevc.mp4": {"codec": "hevc"},
}
WITH_EVENTS = "bframes.mp4"  # one for each frame
HOSTILE = "<img src=x onerror=alert(1)> ' \" </script>\u202e" + "漢" * 40


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shown(server: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A service that has analysed every frame of each of CLIPS, under its name."""
    async with open_site(server, tmp_path_factory.mktemp("site")) as site:
        ids = []
        for name, encoding in CLIPS.items():
            marker_clip(site.media / name, frames=FRAMES, size=SIZE, **encoding)
            options: dict[str, Any] = {"sampling": {"mode": "all"}, "name": name}
            if name == WITH_EVENTS:
                options["presence"] = {}
            ids.append(await site.create(name, {"type": "marker"}, **options))
        for scenario_id in ids:
            assert (await site.reaches(scenario_id, "inactive"))["outcome"] == "completed"
        yield site


async def opened(site: Site, page: Page, name: str, query: str = "") -> str:
    """Open the page of a clip's scenario, and return its id."""
    items = (await site.http.get("scenarios", params={"name": name})).json()["items"]
    await page.goto(f"{site.url}#/scenarios/{items[0]['id']}{query}")
    await expect(page.get_by_role("heading", name=name)).to_be_visible()
    return str(items[0]["id"])


async def is_at(page: Page, frame: int) -> None:
    """Wait until the player tells that it shows a frame."""
    await expect(page.locator(".player-position")).to_have_text(re.compile(rf"frame {frame}$"))


async def pixels(stage: Locator) -> Any:
    content = np.frombuffer(await stage.screenshot(), np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), int)


async def check_box(page: Page, frame: int) -> None:
    """Fail unless the player shows a frame of a marker clip, with one box, exactly around its marker."""
    await is_at(page, frame)
    stage, overlay = page.locator(".player-stage"), page.locator(".player-overlay")
    drawn = await pixels(stage)
    await overlay.evaluate("each => { each.style.visibility = 'hidden' }")
    plain = await pixels(stage)
    await overlay.evaluate("each => { each.style.visibility = '' }")
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    corners, ids, _ = detector.detectMarkers(plain.astype(np.uint8))
    assert ids is not None
    assert int(ids[0][0]) == frame  # the picture is this frame
    (x1, y1), (x2, y2) = (np.round(side(corners[0][0], axis=0)).astype(int) for side in (np.min, np.max))
    changed = np.abs(drawn - plain).max(axis=2) > 30
    for x in (x1, x2):
        assert changed[y1 + 4 : y2 - 4, x - 4 : x + 5].any(axis=1).mean() > 0.95, "an upright edge"
    for y in (y1, y2):
        assert changed[y - 4 : y + 5, x1 + 4 : x2 - 4].any(axis=0).mean() > 0.95, "a level edge"
    changed[y1 - 30 : y2 + 5, x1 - 4 : x2 + 5] = False
    changed[y1 - 30 : y1 + 1, x1 - 4 : x1 + 200] = False  # the label above it
    assert not changed.any(), "something is drawn elsewhere"


@pytest.mark.parametrize("name", CLIPS)
async def test_boxes_are_exactly_where_and_when_things_are(shown: Site, page: Page, name: str) -> None:
    """In the middle, at steps, and at the end after playing."""
    scenario_id = await opened(shown, page, name, "?t=0.51")
    stored = (await shown.http.get(f"scenarios/{scenario_id}/predictions")).json()["items"]
    frame = max(each["frame"] for each in stored if each["time"] <= 0.51)
    await check_box(page, frame)
    await page.keyboard.press("ArrowRight")
    await check_box(page, frame + 1)
    await page.keyboard.press("ArrowLeft")
    await is_at(page, frame)
    await page.keyboard.press("Space")
    await check_box(page, FRAMES - 1)
    note = page.get_by_text("This browser cannot play the recording (hevc). Its stored frames are shown")
    await expect(note).to_have_count(1 if name == "hevc.mp4" else 0)


async def test_a_browser_that_shows_other_frames_is_not_trusted(shown: Site, page: Page) -> None:
    await page.add_init_script(
        """
        const video = HTMLVideoElement.prototype;
        const original = video.requestVideoFrameCallback;
        video.requestVideoFrameCallback = function (fn) {
          const late = (now, {mediaTime}) => fn(now, {mediaTime: mediaTime && mediaTime + 0.011});
          return original.call(this, late);
        };
        """
    )
    await opened(shown, page, "turned.mp4", "?t=0.5")
    await expect(page.locator(".player-position")).to_have_text(re.compile(r"frame 15, 0:00\.01[01] before$"))
    note = page.get_by_text("This browser does not show exactly the frames that were analysed (h264).")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator(".player-position")).to_have_text(re.compile(r"frame 16, 0:00\.01[01] before$"))
    await expect(page).to_have_url(re.compile(r"\?t=0\.544$"))  # the seek is over
    await page.keyboard.press("ArrowRight")
    await expect(note).to_be_visible()
    await check_box(page, 17)


LIKE_FIREFOX = """
const video = HTMLVideoElement.prototype;
const follow = video.requestVideoFrameCallback;
const current = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "currentTime");
const places = new WeakMap();
video.requestVideoFrameCallback = function (fn) {
  return follow.call(this, (now, {mediaTime}) => {
    if (!this.paused) places.delete(this);
    fn(now, {mediaTime: places.get(this) ?? mediaTime});
  });
};
Object.defineProperty(video, "currentTime", {
  get() { return current.get.call(this); },
  set(time) {
    places.set(this, time);
    current.set.call(this, time + SHIFT);
  },
});
"""
"""After a seek, the time of the picture is the place that was sought, which Chromium is made to tell, too."""


async def test_a_browser_that_tells_where_a_seek_led_shows_the_frames(shown: Site, page: Page) -> None:
    await page.add_init_script(LIKE_FIREFOX.replace("SHIFT", "0"))
    async with page.expect_response("**/frame.jpg?frame=15"):  # its picture is compared
        await opened(shown, page, "bframes.mp4", "?t=0.51")
    await check_box(page, 15)
    for frame in (16, 17, 18):
        await page.keyboard.press("ArrowRight")
        await check_box(page, frame)
    await page.keyboard.press("Space")
    await check_box(page, FRAMES - 1)
    await expect(page.locator(".player-note")).to_have_count(0)


async def test_a_browser_whose_seeks_lead_to_other_pictures_is_found_out(shown: Site, page: Page) -> None:
    await page.add_init_script(LIKE_FIREFOX.replace("SHIFT", "1 / 30"))
    await opened(shown, page, "bframes.mp4", "?t=0.51")
    note = page.get_by_text("This browser does not show exactly the frames that were analysed (h264).")
    await expect(note).to_be_visible()
    await check_box(page, 15)


async def test_an_event_leads_to_its_moment_which_an_address_keeps(shown: Site, page: Page) -> None:
    await opened(shown, page, "bframes.mp4")
    await page.get_by_role("button", name=re.compile("aruco:7 ")).click()
    await check_box(page, 7)
    await page.keyboard.press("Shift+ArrowRight")
    await check_box(page, 8)
    await expect(page).to_have_url(re.compile(r"\?event=9$"))
    await page.keyboard.press("ArrowRight")
    await is_at(page, 9)
    await expect(page).to_have_url(re.compile(r"\?t=0\.300$"))
    await page.reload()
    await check_box(page, 9)
    await page.evaluate("location.hash = location.hash.replace('t=0.300', 'event=3')")
    await check_box(page, 2)
    await look(page, "scenario")


async def test_a_timeline_seeks_zooms_and_fits(shown: Site, page: Page) -> None:
    """Also for a viewer, who sees no control that would be refused."""
    await page.route("**/session", lambda route: route.fulfill(json={"role": "viewer", "expires_at": None}))
    scenario_id = await opened(shown, page, "bframes.mp4")
    slider = page.get_by_role("slider", name="Moment of the video")
    await expect(page.get_by_text("Show all 40 labels")).to_be_visible()
    duration = (await shown.http.get(f"scenarios/{scenario_id}")).json()["media"]["duration_seconds"]
    box = await slider.bounding_box()
    assert box is not None
    await slider.click(position={"x": box["width"] * 0.5 / duration + 1, "y": 30})
    await check_box(page, 15)
    shown_range = page.locator(".timeline-foot > :first-child")
    await expect(shown_range).to_have_text("0:00 to 0:01")
    await page.mouse.wheel(0, -300)
    await expect(page.get_by_role("button", name="Show all", exact=True)).to_be_enabled()
    await slider.dblclick(position={"x": 5, "y": 30})
    await expect(page.get_by_role("button", name="Show all", exact=True)).to_be_disabled()
    await slider.press("End")
    await check_box(page, FRAMES - 1)
    await expect(page.get_by_role("link", name="Download the video")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete")).to_have_count(0)


async def test_predictions_history_and_request_are_shown(shown: Site, page: Page) -> None:
    scenario_id = await opened(shown, page, "varied.mp4")
    await page.get_by_role("button", name="Predictions").click()
    await page.get_by_role("searchbox", name="Label").fill("aruco:30")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("button", name="30", exact=True).click()
    await check_box(page, 30)
    await page.get_by_role("button", name="History").click()
    await expect(page.get_by_text("stored to the end of the recording")).to_be_visible()
    await page.get_by_role("button", name="Request").click()
    command = await page.locator("pre").inner_text()
    assert command.startswith(
        f"curl -X POST '{shown.url}scenarios' -H 'Content-Type: application/json' -d '{{"
    )
    body = command.partition("-d '")[2].removesuffix("'")
    created = await shown.http.post(
        "scenarios", content=body, headers={"Content-Type": "application/json", "Idempotency-Key": "again"}
    )
    assert created.status_code in (201, 202), created.text
    fields = ("source", "detector", "sampling", "name", "presence", "tracking", "restart")
    await shown.reaches(created.json()["id"], "inactive")
    one, other = [
        (await shown.http.get(f"scenarios/{each}")).json() for each in (scenario_id, created.json()["id"])
    ]
    assert [one[field] for field in fields] == [other[field] for field in fields]
    await page.get_by_text("Export", exact=True).click()
    async with page.expect_download() as started:
        await page.get_by_role("link", name="Predictions as CSV").click()
    download = await started.value
    assert download.suggested_filename.endswith("-predictions.csv")
    assert (await download.path()).read_text().startswith("scenario_id,")


async def test_the_date_of_a_recording_is_given_changed_and_removed(shown: Site, page: Page) -> None:
    scenario_id = await opened(shown, page, WITH_EVENTS)

    async def date_is(date: str | None) -> None:
        async def is_so() -> bool:
            return bool((await shown.http.get(f"scenarios/{scenario_id}")).json()["recorded_at"] == date)

        await until(is_so)

    field = page.get_by_label("Recorded at")
    await page.get_by_role("button", name="Give it a date").click()
    await field.fill("2026-01-31T09:30:04")
    await look(page, "scenario-date")
    await page.get_by_role("button", name="Save").click()
    await date_is("2026-01-31T08:30:04Z")  # the browser is in Berlin
    await expect(page.get_by_text("Recorded at")).to_contain_text("2026")
    await page.get_by_role("button", name="Change the date").click()
    await expect(field).to_have_value("2026-01-31T09:30:04")
    await field.fill("1700-01-31T09:30:00")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".field-problem")).to_contain_text("1900")
    await page.get_by_role("button", name="Remove the date").click()
    await expect(page.get_by_text("It is not known when it was recorded.")).to_be_visible()
    await date_is(None)


async def test_hostile_texts_are_shown_as_text(shown: Site, page: Page) -> None:
    zone = Zone(HOSTILE[:90], ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9)))
    spec = replace(SPEC, name=HOSTILE, zones=(zone,), lines=(Line(HOSTILE[:80], (0.1, 0.9), (0.9, 0.1)),))
    scenario_id = await add_scenario(shown.scenarios, spec=spec, state="inactive", media=MEDIA)
    await add_checkpoint(shown.predictions, scenario_id, next_frame=60, attempt=1, frames_failed=1)
    for frame in range(0, 45, 15):
        boxes = packed(300, 200, 700, 600)
        await add_prediction(shown.predictions, scenario_id, frame, (HOSTILE, 0.9), boxes=boxes)
    await add_prediction(shown.predictions, scenario_id, 45, error=HOSTILE)
    await fill_timeline(shown.predictions, scenario_id)
    await add_found(shown.predictions, scenario_id, 1, label=HOSTILE, kind="zone", name=HOSTILE[:90])
    await page.goto(f"{shown.url}#/scenarios/{scenario_id}?t=0.5")
    await expect(page.get_by_role("heading", name=HOSTILE[:60])).to_be_visible()
    await expect(page.locator(".event-text")).to_contain_text(HOSTILE[:60])
    # The file is not there: the boxes are shown, and the reason why there is no picture.
    await expect(page.locator(".player-message")).to_contain_text("clip.mp4")
    await is_at(page, 15)
    assert await page.evaluate("document.images.length") <= 2
    await look(page, "scenario-hostile")
    await page.get_by_role("button", name="1 frame failed").click()
    await is_at(page, 45)


async def test_a_live_source_is_followed_and_looked_back_at(shown: Site, page: Page) -> None:
    scenario_id = await shown.create(
        "test:testsrc2?live=true&size=320x240", {"type": "motion"}, sampling={"mode": "fps", "fps": 5}
    )
    await shown.reaches(scenario_id, "active")
    await page.goto(f"{shown.url}#/scenarios/{scenario_id}")
    await expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")
    position = page.locator(".player-position")
    await expect(position).to_have_text(re.compile(r"frame [\d,]+$"))
    first = await position.inner_text()
    await expect(position).not_to_have_text(first)
    assert (await pixels(page.locator(".player-stage"))).std() > 20  # the test pattern
    await look(page, "scenario-live")
    await page.get_by_role("slider", name="Moment of the video").press("Home")
    await expect(page.get_by_text("No video of a live source is kept")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"\?t=\d+\.\d+$"))
    follow = page.get_by_role("button", name="Follow")
    await follow.click()
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator(".player-message")).to_contain_text("The scenario does not run")
    await expect(follow).to_have_attribute("aria-pressed", "false")
    await page.get_by_role("button", name="Start").click()
    await expect(follow).to_have_attribute("aria-pressed", "true")
    await expect(page.locator(".player-message")).to_have_count(0)
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("button", name="Start")).to_be_visible()
