"""The events of all scenarios, as people look through them."""

import re

from playwright.async_api import Page, expect

from tests.browser.looking import look
from tests.browser.site import Site
from tests.support.clips import moving_boxes_clip

HOSTILE = '<img src=x onerror="alert(1)">'


async def test_events_of_all_scenarios_lead_to_their_moments(site: Site, page: Page) -> None:
    await page.goto(f"{site.url}#/events")
    await expect(page.get_by_role("heading", name="Nothing has happened yet")).to_be_visible()
    await look(page, "events-empty")

    moving_boxes_clip(site.media / "yard.mp4", frames=40)
    scenario_id = await site.create(
        "yard.mp4",
        {"type": "motion"},
        name=HOSTILE,
        recorded_at="2026-01-31T09:30:00Z",
        sampling={"mode": "all"},
        tracking={},
        zones=[{"name": "<b>yard</b>", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]], "anchor": "center"}],
        alerts=[{"name": "somebody", "zone": "<b>yard</b>"}],
    )
    await site.reaches(scenario_id, "inactive")
    items = page.get_by_role("list", name="Events").get_by_role("listitem")
    await expect(items.first).to_contain_text("motion")  # without a reload: the stream told of it
    await expect(items.first).to_contain_text(HOSTILE)
    await expect(items.first.locator("time")).to_have_text(re.compile("31 Jan 2026, 10:30:0"))  # in Berlin
    await expect(items.first.locator("time")).to_have_attribute("title", re.compile("CET$"))
    await expect(page.get_by_text(re.compile(r"Times are in CES?T\."))).to_be_visible()
    async with page.expect_request(lambda request: "picture.jpg" in request.url) as loaded:
        await page.reload()
    assert (await loaded.value).url.endswith("/picture.jpg?annotated=true&width=320")
    await expect(page.locator(".event-item img").first).to_be_visible()
    await look(page, "events")

    await page.get_by_label("What").select_option("alert")
    await expect(items.first).to_contain_text("alert somebody")
    stored = (await site.http.get("events", params={"kind": "alert"})).json()["items"]
    await expect(items).to_have_count(len(stored))
    await page.reload()
    await expect(items).to_have_count(len(stored))
    await page.get_by_label("Label").fill("nothing")
    await page.get_by_label("Label").press("Enter")
    await expect(page.get_by_role("heading", name="No event fits")).to_be_visible()
    await page.get_by_role("button", name="Show all").click()
    await items.first.get_by_role("link").first.click()
    await expect(page).to_have_url(f"{site.url}#/scenarios/{scenario_id}?event={await newest(site)}")


async def newest(site: Site) -> int:
    events = (await site.http.get("events", params={"order": "desc", "limit": 1})).json()["items"]
    number: int = events[0]["event_id"]
    return number
