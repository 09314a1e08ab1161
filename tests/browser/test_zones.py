"""Zones and lines: drawn by mouse and by keyboard, tested on what is stored, and used from now on."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from app.api.new_scenario import NewScenario
from tests.browser.looking import look
from tests.browser.site import Site
from tests.support import clips
from tests.support.rtsp_server import RtspServer
from tests.support.waiting import until

HOSTILE = "<img src=x onerror=alert(1)>"
MOTION = {"type": "motion"}


async def open_editor(site: Site, page: Page, scenario_id: str) -> None:
    await page.goto(f"{site.url}#/scenarios/{scenario_id}/zones")
    await expect(page.locator(".zone-picture img")).to_be_visible()


async def click_at(page: Page, x: float, y: float) -> None:
    """Click on the picture at fractions of its size."""
    box = await page.locator(".zone-picture svg").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


async def events_of(site: Site, scenario: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of zones and lines that the API itself finds in what another scenario stored."""
    rules = {name: scenario[name] for name in ("zones", "lines")}
    asked = await site.create(scenario["source"], {"type": "stored"}, **rules)
    await site.reaches(asked, "inactive")
    items = (await site.http.get(f"scenarios/{asked}/events", params={"limit": 1000})).json()["items"]
    return [item for item in items if item["kind"] in ("zone", "line")]


async def test_zones_and_lines_are_drawn_tested_and_used(site: Site, page: Page) -> None:
    clips.moving_boxes_clip(site.media / "clip.mp4", frames=200)
    options = {
        "sampling": {"mode": "fps", "fps": 15}, "tracking": {}, "aspect": "16:9", "track": 0,
        "recorded_at": "2026-01-31T09:30:00Z", "restart": {"policy": "never", "max_restarts": 3},
        "presence": {}, "tags": ["gate"],
    }  # fmt: skip
    scenario_id = await site.create("clip.mp4", MOTION, name="yard", **options)
    await site.reaches(scenario_id, "inactive")
    await open_editor(site, page, scenario_id)
    await expect(page.get_by_role("button", name="Test", exact=True)).to_be_disabled()

    await page.get_by_role("button", name="Draw a line").click()
    await click_at(page, 0.5, 0.05)
    await click_at(page, 0.5, 0.95)
    line = page.get_by_role("button", name="Line line 1")
    await expect(line).to_be_visible()
    # Seen along a line that leads down, what is left in the picture is on its right.
    sides = [await page.locator(".side", has_text=side).bounding_box() for side in ("right", "left")]
    assert sides[0] is not None
    assert sides[1] is not None
    assert sides[0]["x"] < sides[1]["x"]

    await page.mouse.move(0, 0)
    # From the middle of the picture: 15 % to the left, 20 % down, 20 % to the right, and closed.
    await page.get_by_role("button", name="Draw a zone").press("Enter")
    for keys in (["Shift+ArrowLeft"] * 3, ["Shift+ArrowDown"] * 4, ["Shift+ArrowRight"] * 4):
        for key in keys:
            await page.keyboard.press(key)
        await page.keyboard.press(" ")
    await page.keyboard.press("Enter")
    await page.get_by_label("Name of the zone").fill(HOSTILE)
    await expect(page.get_by_role("button", name=f"Zone {HOSTILE}, 3 corners")).to_be_visible()
    first = page.get_by_role("button", name=f"{HOSTILE}, corner 1 of 3")
    await first.focus()
    await page.keyboard.press("ArrowUp")
    await expect(first).to_have_accessible_name(
        f"{HOSTILE}, corner 1 of 3: 35.0 % from the left, 49.5 % from the top"
    )

    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.get_by_role("heading", name="What would have happened")).to_be_visible()
    shown = await page.locator(".test-counts dd").all_inner_texts()
    listed = await page.get_by_role("list", name="Events of the test").get_by_role("listitem").count()
    moment = page.get_by_role("list", name="Events of the test").get_by_role("button").last
    text = await moment.inner_text()
    await moment.click()
    await expect(page.get_by_text(f"Picture at {text}")).to_be_visible()
    await look(page, "zones")

    await page.get_by_role("button", name="Use from now on").click()
    await page.get_by_role("dialog").get_by_role("button", name="Use from now on").click()
    await expect(page).not_to_have_url(f"{site.url}#/scenarios/{scenario_id}/zones")
    new_id = page.url.rpartition("/")[2]
    new, old = [(await site.http.get(f"scenarios/{each}")).json() for each in (new_id, scenario_id)]
    # Whatever a request may state is carried on, but for what was drawn.
    for name in {*NewScenario.__struct_fields__} & {*old} - {"id", "zones", "lines", "replaces"}:
        assert new[name] == old[name], name
    assert (new["source"], new["replaces"]) == ("clip.mp4", None)
    assert new["zones"] == [
        {
            "name": HOSTILE,
            "polygon": [[0.35, 0.495], [0.35, 0.7], [0.55, 0.7]],
            "anchor": "bottom",
            "ignore": False,
        }
    ]
    assert new["lines"][0]["from"] == pytest.approx([0.5, 0.05], abs=0.01)

    async def is_alone() -> bool:
        items = (await site.http.get("scenarios")).json()["items"]
        return {item["id"] for item in items} == {scenario_id, new_id}

    await until(is_alone)  # the test is deleted
    events = await events_of(site, new | {"source": f"scenario:{scenario_id}"})
    visits = [event for event in events if event["kind"] == "zone"]
    crossings = [event for event in events if event["kind"] == "line"]
    assert visits
    assert crossings
    to_left = sum(event["direction"] == "left" for event in crossings)
    assert listed == len(events)
    assert shown[0].startswith(f"{len(visits)} visit")
    assert shown[1].endswith(f"{to_left} to the left, {len(crossings) - to_left} to the right")


async def test_shapes_are_moved_removed_and_written_as_numbers(site: Site, page: Page) -> None:
    clips.moving_boxes_clip(site.media / "clip.mp4", frames=30)
    scenario_id = await site.create("clip.mp4", MOTION)
    await site.reaches(scenario_id, "inactive")
    await open_editor(site, page, scenario_id)
    await page.get_by_role("button", name="Draw a zone").click()
    await click_at(page, 0.1, 0.1)
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Name of the zone")).to_have_count(0)

    await page.get_by_role("button", name="Add a rectangle").click()
    box = await page.locator(".zone-picture svg").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    await page.mouse.down()
    await page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.1 * box["height"], steps=4)
    await page.mouse.up()
    await page.get_by_text("Points, in percent").click()
    left = page.get_by_label("corner 1, from the left, in percent")
    await expect(left).to_have_value(re.compile(r"^(19\.[89]\d?|20(\.[01]\d?)?)$"))  # to a pixel
    # Numbers that make the edges cross: the API says so, beside the zone.
    await left.fill("90")
    await left.press("Tab")
    await page.get_by_role("button", name="Test", exact=True).click()
    await expect(page.locator(".rule .field-problem")).to_contain_text("crosses or touches itself")
    await left.fill("20")
    await left.press("Tab")
    # Who leaves in the middle of a test, or closes the browser, leaves no scenario behind.
    left_over = await site.create("clip.mp4", MOTION, name="Test: of a closed browser")
    await page.evaluate(
        "id => localStorage.setItem('videoanalysis.tests', JSON.stringify({ [id]: 0 }))", left_over
    )
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await page.route("**/events?*", hold)
    await page.get_by_role("button", name="Test", exact=True).click()
    await until(lambda: held)
    await page.get_by_role("link", name="Models").click()
    await page.unroute("**/events?*", hold)
    await page.goto(f"{site.url}#/scenarios/{scenario_id}/zones")

    async def is_alone() -> bool:
        items = (await site.http.get("scenarios")).json()["items"]
        return [item["id"] for item in items] == [scenario_id]

    await until(is_alone)
    await page.reload()
    await expect(page.get_by_text("This is your draft from before.")).to_be_visible()
    await page.get_by_role("button", name="Zone zone 1, 4 corners").focus()
    await page.keyboard.press("Delete")
    await expect(page.get_by_label("Name of the zone")).to_have_count(0)
    await page.keyboard.press("Control+z")
    await expect(page.get_by_label("Name of the zone")).to_have_value("zone 1")


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[RtspServer]:
    with RtspServer(clips.moving_boxes_clip(tmp_path / "camera.mp4", frames=50, size=(320, 180))) as server:
        server.challenges = ['Basic realm="camera"']
        yield server


async def test_a_camera_goes_on_with_the_new_zone_and_its_hidden_password(
    site: Site, page: Page, camera: RtspServer
) -> None:
    source = f"rtsp://admin:{camera.password}@127.0.0.1:{camera.port}/live"
    old_id = await site.create(source, MOTION, tags=["gate"])
    await site.reaches(old_id, "active")
    await open_editor(site, page, old_id)
    await page.get_by_role("button", name="Add a rectangle").click()
    await page.get_by_role("button", name="Use from now on").click()
    await expect(page.get_by_role("dialog")).to_contain_text("takes the place of this one")
    await expect(page.get_by_role("dialog")).to_contain_text("Objects will be followed")
    await page.get_by_role("dialog").get_by_role("button", name="Use from now on").click()
    await expect(page).not_to_have_url(f"{site.url}#/scenarios/{old_id}/zones")
    new = await site.reaches(page.url.rpartition("/")[2], "active")
    assert (new["replaces"], new["tags"], new["zones"][0]["name"]) == (old_id, ["gate"], "zone 1")
    assert (await site.reaches(old_id, "inactive"))["replaced_by"] == new["id"]
