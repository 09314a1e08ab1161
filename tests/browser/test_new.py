"""A new scenario: by clicks alone, from the media folder, an upload or a camera."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect

from tests.browser.looking import look
from tests.browser.site import Site, open_site
from tests.support import clips
from tests.support.databases import Databases
from tests.support.rtsp_server import RtspServer
from tests.support.waiting import until

HOSTILE = "<img src=x onerror=alert(1)>.mp4"
ALERT = {
    "name": "alert 1", "labels": None, "zone": "zone 1", "line": None, "direction": None, "min_seconds": 0.5,
    "min_confidence": 0.0, "cooldown_seconds": 0.0,
}  # fmt: skip
SPECIAL = "p@ss/w:rd#?"


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[RtspServer]:
    with RtspServer(clips.moving_boxes_clip(tmp_path / "camera.mp4", frames=50, size=(320, 180))) as server:
        server.challenges = ['Basic realm="camera"']
        server.password = SPECIAL
        yield server


async def open_form(site: Site, page: Page, query: str = "") -> None:
    await page.goto(f"{site.url}#/new{query}")
    await expect(page.get_by_label("Detector", exact=True)).to_be_visible()


async def test_a_recording_of_the_media_folder_is_chosen_by_clicks_and_created_once(
    site: Site, page: Page
) -> None:
    (site.media / "yard").mkdir()
    clips.marker_clip(site.media / "yard" / HOSTILE, frames=30, size=(640, 360))
    clips.marker_clip(site.media / "yard" / "small.mp4", frames=5, size=(320, 180))
    await open_form(site, page)
    await expect(page.get_by_role("button", name="Create the scenario")).to_be_disabled()
    await page.get_by_role("button", name="yard/").click()
    await page.get_by_role("radio", name="small.mp4").check()
    await page.get_by_role("radio", name=HOSTILE).check()  # while the other one is still being tried
    await expect(page.get_by_role("img", name="The first picture of the source")).to_be_visible()
    await expect(page.get_by_text("640 × 360 · h264")).to_be_visible()
    await page.get_by_label("Detector", exact=True).select_option("marker")
    await page.get_by_label("Frames to analyse").select_option("all")
    await page.get_by_label("Name", exact=True).fill("front <b>door</b>")
    await page.get_by_label("Tags").fill("outside, gate 2")
    await page.get_by_text("The request, as a command line").click()
    await expect(page.locator(".copyable")).to_contain_text('"detector": { "type": "marker" }')
    await page.get_by_text("Zones, lines and alerts").click()
    await page.get_by_role("button", name="Add a rectangle").click()
    await page.get_by_role("button", name="Add an alert").click()
    await page.get_by_label("Where").select_option("in the zone zone 1")
    await page.get_by_label("Stays at least (seconds)").fill("0.5")
    await page.get_by_text("More", exact=True).click()
    await expect(page.get_by_text("There is no channel.")).to_be_visible()
    await page.get_by_label("Recorded at").fill("2026-01-31T10:30:00")  # in Berlin
    await expect(page.get_by_label("Follow objects from frame to frame")).to_be_checked()  # zones need it
    await look(page, "new-recording")
    await page.get_by_role("button", name="Create the scenario").dblclick()
    await expect(page).to_have_url(f"{site.url}#/scenarios/{await only_id(site)}")
    scenario = await site.reaches(await only_id(site), "inactive")
    assert (scenario["outcome"], scenario["source"]) == ("completed", f"yard/{HOSTILE}")
    assert (scenario["name"], scenario["tags"]) == ("front <b>door</b>", ["outside", "gate 2"])
    assert scenario["progress"]["frames_sampled"] == 30
    assert scenario["tracking"] is not None  # which zones need
    assert scenario["recorded_at"] == "2026-01-31T09:30:00Z"
    assert scenario["alerts"] == [ALERT]
    assert [zone["name"] for zone in scenario["zones"]] == ["zone 1"]
    await open_form(site, page)
    await page.get_by_role("button", name="yard/").click()
    await expect(page.get_by_role("link", name="front <b>door</b>")).to_be_visible()


async def only_id(site: Site) -> str:
    """Wait until there is a scenario, and return the id of the only one."""

    async def listed() -> list[str]:
        return [item["id"] for item in (await site.http.get("scenarios")).json()["items"]]

    ids = await until(listed)
    assert ids is not None
    assert len(ids) == 1
    return ids[0]


async def test_a_recording_is_uploaded_with_progress_and_can_be_cancelled(
    site: Site, page: Page, tmp_path: Path
) -> None:
    clip = clips.marker_clip(tmp_path / HOSTILE, frames=30, size=(640, 360))
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await open_form(site, page)
    await page.route("**/media/uploads/*", hold)
    await choose_file(page, clip)
    await expect(page.get_by_role("progressbar", name=f"Upload of {HOSTILE}")).to_be_visible()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("progressbar")).to_have_count(0)
    await page.unroute("**/media/uploads/*", hold)
    assert not [*site.media.rglob("*.mp4")]
    await choose_file(page, clip)
    await expect(page.get_by_text(f"Chosen: uploads/{HOSTILE}")).to_be_visible()
    await expect(page.get_by_role("radio", name=HOSTILE)).to_be_checked()
    await expect(page.get_by_role("img", name="The first picture of the source")).to_be_visible()
    await choose_file(page, clip)  # the name is taken: another one is proposed
    await page.get_by_role("button", name="Upload under this name").click()
    await expect(page.get_by_text(f"Chosen: uploads/{HOSTILE.replace('.mp4', '-2.mp4')}")).to_be_visible()
    text = tmp_path / "notes.mp4"
    text.write_text("no video")
    await choose_file(page, text)
    await expect(page.get_by_text("notes.mp4: ")).to_contain_text("video")


async def test_what_cannot_be_uploaded_is_said_before_it_is_sent(
    server: Databases, page: Page, tmp_path: Path
) -> None:
    big = tmp_path / "big.mp4"
    big.write_bytes(bytes(2_000_000))
    async with open_site(server, tmp_path, upload_max_gb=0.001) as site:
        await open_form(site, page)
        await expect(page.get_by_text("No recording is here.")).to_be_visible()
        await choose_file(page, big)
        await expect(page.get_by_text("It has 2 MB; an upload may have at most 1 MB")).to_be_visible()


async def choose_file(page: Page, file: Path) -> None:
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Choose a file").click()
    await (await chooser.value).set_files(file)


async def test_a_camera_is_tested_before_it_is_created(site: Site, page: Page, camera: RtspServer) -> None:
    await open_form(site, page, "?kind=camera")
    # A pasted address gives its login to the fields.
    await page.get_by_label("Address").press_sequentially("rtsp://admin:wr@ng@")
    await expect(page.get_by_label("Address")).to_have_value("rtsp://admin:wr@ng@")  # while one types
    await page.get_by_label("Address").fill(f"rtsp://admin:wrong@127.0.0.1:{camera.port}/live")
    await expect(page.get_by_label("Address")).to_have_value(f"rtsp://127.0.0.1:{camera.port}/live")
    await expect(page.get_by_label("User", exact=True)).to_have_value("admin")
    await page.get_by_role("button", name="Test").click()
    await expect(page.get_by_text("refuses access (401)")).to_be_visible()
    await page.get_by_label("Password", exact=True).fill(SPECIAL)
    await expect(page.get_by_text("refuses access (401)")).to_have_count(0)
    await page.get_by_role("button", name="Test").click()
    await expect(page.get_by_role("img", name="The first picture of the source")).to_be_visible()
    await page.get_by_label("Detector", exact=True).select_option("motion")
    await page.get_by_text("The request, as a command line").click()
    await expect(page.locator(".copyable")).to_contain_text("rtsp://admin:PASSWORD@127.0.0.1")
    await look(page, "new-camera")
    await page.get_by_role("button", name="Create the scenario").click()
    await expect(page).to_have_url(f"{site.url}#/scenarios/{await only_id(site)}")
    scenario = await site.reaches(await only_id(site), "active")
    assert scenario["source"] == f"rtsp://***@127.0.0.1:{camera.port}/live"
    assert scenario["restart"]["policy"] == "always"  # a camera that is off is waited for


async def test_what_is_wrong_is_said_beside_its_field_and_warnings_before_going_on(
    site: Site, page: Page
) -> None:
    await open_form(site, page, "?kind=camera")
    await page.get_by_label("Address").fill("test:testsrc2?live=true&size=320x180")
    await page.get_by_label("Confidence", exact=True).fill("2")
    await page.get_by_role("button", name="Create the scenario").click()
    field = page.get_by_label("Confidence", exact=True)
    await expect(field).to_be_focused()
    await expect(field).to_have_accessible_description(re.compile("must be a number at most 1"))
    await look(page, "new-invalid")
    await field.fill("0.5")
    await page.get_by_label("Frames each second").fill("0.2")
    await page.get_by_role("button", name="Create the scenario").click()
    await expect(page.get_by_text("is rare, and an object may be unseen")).to_be_visible()
    await page.get_by_role("link", name="Open the scenario").click()
    await expect(page).to_have_url(f"{site.url}#/scenarios/{await only_id(site)}")
