"""The overview: the first visit, live tiles, and a list that is filtered, watched and acted on."""

import re
from itertools import count
from typing import Any

from playwright.async_api import Page, expect

from app.domain.detector_config import Marker, Motion
from app.domain.media import Media
from app.domain.spec import ScenarioSpec
from tests.browser.looking import look
from tests.browser.site import Site
from tests.support.http_cameras import MULTIPART, Reply, headed, http_camera, jpeg
from tests.support.ports import free_port
from tests.support.rows import add_checkpoint, add_prediction, add_scenario
from tests.support.waiting import until

BOXES_ARE_DRAWN = """async labels => {
  const { colorOf } = await import("./pages/lib/colors.js");
  const canvas = document.querySelector(".player-overlay");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] === 255) seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
  }
  return labels.every((label) => seen.has(parseInt(colorOf(label).slice(1), 16)));
}"""
LIVE = "test:testsrc2?live=true&size=320x180"


async def test_a_first_visit_leads_to_results_by_clicks_alone(site: Site, page: Page) -> None:
    await page.goto(site.url)
    await expect(page.get_by_role("heading", name="Find out what happens in your videos")).to_be_visible()
    recording = page.get_by_role("link", name="Add a recording")
    await expect(recording).to_have_attribute("href", "#/new?kind=recording")
    await expect(page.get_by_role("link", name="Add a camera")).to_have_attribute("href", "#/new?kind=camera")
    await look(page, "first-visit")
    await page.get_by_role("button", name="Try the sample").click()
    await expect(page).to_have_url(re.compile("#/scenarios/[0-9a-f-]{36}$"))
    scenario = await site.reaches(page.url.rpartition("/")[2], "inactive")
    assert (scenario["outcome"], scenario["error"]) == ("completed", None)
    events = (await site.http.get(f"scenarios/{scenario['id']}/events")).json()["items"]
    assert {event["kind"] for event in events} == {"object", "zone", "line", "alert"}
    await expect(page.get_by_text("alert somebody in the yard").first).to_be_visible()
    alerts = page.get_by_role("button", name="alert somebody in the yard")
    await alerts.last.click()  # all three are in the picture
    await page.wait_for_function(BOXES_ARE_DRAWN, arg=["aruco:7", "aruco:21", "aruco:42"])
    await page.get_by_role("link", name="Overview", exact=True).click()
    row = page.locator(f"[data-id='{scenario['id']}']")
    await expect(row.get_by_role("link", name="sample")).to_be_visible()
    await expect(row.get_by_text("completed")).to_be_visible()


async def test_a_sample_that_cannot_be_written_says_what_to_do(site: Site, page: Page) -> None:
    site.media.rmdir()
    await page.goto(site.url)
    await page.get_by_role("button", name="Try the sample").click()
    await expect(page.get_by_role("alert")).to_contain_text("Let the service write there (VA_MEDIA_ROOT)")
    await expect(page.get_by_role("button", name="Try the sample")).to_be_enabled()


async def test_a_live_source_shows_its_newest_picture(site: Site, page: Page) -> None:
    await page.goto(site.url)
    await expect(page.get_by_role("button", name="Try the sample")).to_be_visible()
    scenario_id = await site.create(
        LIVE, {"type": "mock"}, name="door <b>1</b>", sampling={"mode": "fps", "fps": 5}
    )
    picture = page.locator(".tile img")
    await expect(picture).to_be_visible()
    await expect(picture).to_have_js_property("naturalWidth", 320)
    await expect(picture).to_have_js_property("naturalHeight", 180)
    first = await picture.get_attribute("src")
    await expect(picture).not_to_have_attribute("src", first or "")
    await expect(page.locator(".tile")).to_contain_text("door <b>1</b>")
    await look(page, "overview-live")
    await site.http.post(f"scenarios/{scenario_id}/stop")
    await expect(page.locator(".tile")).to_have_count(0)
    await expect(page.locator(".scenario").get_by_text("stopped")).to_be_visible()


def ten_a_second(_: object) -> Reply:
    """Answer as an MJPEG camera that sends numbered pictures."""
    return Reply({"Content-Type": MULTIPART}, map(headed(), map(jpeg, count())), interval=0.1)


async def test_a_lost_camera_says_why_and_comes_back(site: Site, page: Page) -> None:
    port = free_port()
    with http_camera(ten_a_second, port) as url:
        restart = {"policy": "always"}
        await site.create(f"{url}/door.mjpg", {"type": "mock"}, name="door", restart=restart)
        await page.goto(site.url)
        tile, row = page.locator(".tile"), page.locator(".scenario")
        await expect(tile.locator("img")).to_be_visible()
    await expect(tile.get_by_text("reconnecting")).to_be_visible()
    await expect(row.get_by_text("reconnecting")).to_be_visible()
    await expect(tile).to_contain_text(str(port))  # the reason names the address
    await look(page, "overview-lost")
    with http_camera(ten_a_second, port):
        await expect(tile.get_by_text("running")).to_be_visible()
        await expect(tile.locator(".picture-problem")).to_have_count(0)


async def add_rows(site: Site) -> None:
    """Add scenarios in every state, as they were stored, newest first."""
    hostile = "<img src=x onerror=alert(1)>"
    unopened = ScenarioSpec("rtsp://camera.example/live", Motion(), name="gate")
    recording = {"media": Media(640, 360, fps=30.0, frames=1800, duration_seconds=60.0)}
    tagged = recording | {"tags": ["night"]}
    failed = {"outcome": "failed", "error": f"the file changed during the run: {hostile}"}
    rows: list[tuple[ScenarioSpec, str, dict[str, Any]]] = [
        (ScenarioSpec("yard/0415.mp4", Marker(), name=hostile), "inactive", recording),
        (ScenarioSpec("yard/0414.mp4", Marker()), "inactive", recording | failed),
        (ScenarioSpec("yard/0413.mp4", Marker()), "inactive", tagged | {"outcome": "stopped"}),
        (unopened, "init_startup", {"needs": ["detector:none"]}),  # no runner takes it
        *((ScenarioSpec(f"old/{number}.mp4", Marker()), "inactive", recording) for number in range(60)),
    ]
    for age, (spec, state, columns) in enumerate(rows):
        scenario_id = await add_scenario(site.scenarios, spec=spec, state=state, age=float(age), **columns)
        if state == "inactive":
            await add_checkpoint(
                site.predictions, scenario_id, next_frame=1800, frames_sampled=1800, detections=37
            )
        if spec.source in ("yard/0413.mp4", "old/7.mp4"):
            await add_prediction(site.predictions, scenario_id, 0, ("person", 0.9))


async def test_many_scenarios_are_filtered_searched_and_paged(site: Site, page: Page) -> None:
    await add_rows(site)
    await page.goto(site.url)
    rows = page.locator(".scenario")
    await expect(rows).to_have_count(50)
    await expect(page.get_by_role("link", name="<img src=x onerror=alert(1)>")).to_be_visible()
    await expect(page.locator(".tile")).to_contain_text("No runner has what it needs (detector:none).")
    await look(page, "overview-list")
    await page.get_by_role("button", name="Next").click()
    await expect(rows).to_have_count(14)
    await page.get_by_role("button", name="Previous").click()
    await expect(rows).to_have_count(50)
    await page.get_by_role("link", name="night").click()
    await expect(rows).to_have_count(1)
    await page.get_by_role("button", name="tag: night").click()
    await expect(rows).to_have_count(50)
    await page.get_by_label("State").select_option(label="Failed (1)")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("The file changed during the run: <img src=x onerror=alert(1)>")
    await page.get_by_label("State").select_option(label="All states")
    await page.get_by_label("A label that was found").fill("person")
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(2)
    await expect(rows.last).to_contain_text("old/7.mp4")
    await look(page, "overview-found")
    await page.get_by_role("button", name="found: person").click()
    await page.keyboard.press("/")
    await page.keyboard.type("yard/")
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(3)
    await page.get_by_label("Order").select_option(label="Oldest first")
    await expect(rows.first).to_contain_text("0413")
    await page.reload()
    await expect(rows.first).to_contain_text("0413")
    await page.get_by_role("searchbox").fill("no such thing")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="No scenario fits these filters")).to_be_visible()
    await page.get_by_role("button", name="Show all scenarios").click()
    await expect(rows).to_have_count(50)


async def test_several_scenarios_are_stopped_and_deleted_at_once(site: Site, page: Page) -> None:
    for number in range(3):
        await site.create(LIVE, {"type": "motion"}, name=f"camera {number}")
    await page.goto(site.url)
    await expect(page.locator(".scenario").get_by_text("running")).to_have_count(3)
    await page.get_by_label("Select camera 0").check()
    await page.get_by_label("Select camera 1").check()
    bar = page.get_by_role("toolbar", name="Actions for the selected scenarios")
    await expect(bar).to_contain_text("2 scenarios selected")
    await look(page, "overview-selected")
    await bar.get_by_role("button", name="Stop").click()
    await expect(page.locator(".scenario").get_by_text("stopped")).to_have_count(2)
    await expect(bar).to_have_count(0)
    await page.get_by_label("Select all of this page").check()
    await bar.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete 3 scenarios?")
    await expect(dialog).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(bar.get_by_role("button", name="Delete")).to_be_focused()
    await page.keyboard.press("Enter")
    await dialog.get_by_role("button", name="Delete").click()  # one of them still runs, and is stopped first
    await expect(page.get_by_role("button", name="Try the sample")).to_be_visible()

    async def is_empty() -> bool:
        return bool((await site.http.get("scenarios/counts")).json()["total"] == 0)

    await until(is_empty)


async def test_rows_keep_their_place_while_they_change(site: Site, page: Page) -> None:
    ids = [await site.create(LIVE, {"type": "motion"}, name=f"camera {number}") for number in range(3)]
    await page.goto(site.url)
    row = page.locator(f".scenario[data-id='{ids[0]}']")
    tile = page.locator(f".tile[data-id='{ids[0]}']")
    await expect(page.locator(".scenario").get_by_text("running")).to_have_count(len(ids))
    await expect(page.locator(".tile img")).to_have_count(len(ids))
    before = await row.bounding_box(), await tile.bounding_box()
    detail = await row.locator(".scenario-detail").inner_text()
    await expect(row.locator(".scenario-detail")).not_to_have_text(detail)
    assert (await row.bounding_box(), await tile.bounding_box()) == before
