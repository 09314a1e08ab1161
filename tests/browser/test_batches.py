"""A folder of recordings as one thing."""

from uuid import uuid4

from msgspec import Raw
from playwright.async_api import Page, expect

from app.domain.batch import BatchSpec
from tests.browser.looking import look
from tests.browser.site import Site
from tests.support.clips import marker_clip, text_as_mp4
from tests.support.rows import add_scenario


async def test_a_folder_is_analysed_by_clicks_and_tells_what_failed(site: Site, page: Page) -> None:
    yard = site.media / "yard"
    yard.mkdir()
    marker_clip(yard / "one.mp4", frames=10)
    marker_clip(yard / "two <b>.mp4", frames=10)
    text_as_mp4(yard / "broken.mp4")

    await page.goto(f"{site.url}#/batches")
    await expect(page.get_by_role("heading", name="No folder is analysed yet")).to_be_visible()
    await page.get_by_role("main").get_by_role("link", name="Analyse a folder").first.click()
    await page.get_by_label("Files").fill("../*.mp4")
    await page.get_by_label("Detector").select_option("marker")
    await page.get_by_label("Name of the batch").fill("the yard")
    await page.get_by_label("Watch the folder").check()
    await look(page, "batch-new")
    await page.get_by_role("button", name="Analyse these files").click()
    await expect(page.get_by_role("alert").first).to_contain_text("give folders below the media root")
    await page.get_by_label("Files").fill("yard/*.mp4")
    await page.get_by_role("button", name="Analyse these files").click()

    await expect(page.get_by_role("heading", name="the yard")).to_be_visible()
    counts = page.get_by_label("The batch").get_by_text("2 of 3 files analysed · 1 failed")
    await expect(counts).to_be_visible(timeout=90_000)
    failed = page.get_by_role("region", name="Failed")
    await expect(failed.get_by_role("link", name="yard/broken.mp4")).to_be_visible()
    await expect(page.get_by_role("link", name="yard/two <b>.mp4")).to_be_visible()
    await look(page, "batch")
    await page.get_by_role("button", name="Watch no longer").click()
    await expect(page.get_by_role("button", name="Watch", exact=True)).to_be_visible()
    await page.get_by_role("link", name="All batches").click()
    await expect(page.get_by_role("list", name="Batches")).to_contain_text("2 of 3 files analysed")
    await look(page, "batches")

    await page.get_by_role("link", name="the yard").click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("heading", name="No folder is analysed yet")).to_be_visible(timeout=90_000)
    assert (await site.http.get("scenarios")).json()["items"] == []


async def test_the_page_of_a_batch_that_has_ended_follows_its_scenarios(site: Site, page: Page) -> None:
    batch_id = uuid4()
    async with site.scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO batches (id, spec, name, watch, at_once, state, listed_at, updated_at)"
            " VALUES ($1, $2, '', false, 1, 'done', now(), now() - interval '1 hour')",
            batch_id,
            BatchSpec("yard/*.mp4", Raw(b'{"detector": {"type": "marker"}}')),
        )
    ids = [
        await add_scenario(site.scenarios, state="inactive", outcome="completed", batch_id=batch_id)
        for _ in range(3)
    ]
    await page.goto(f"{site.url}#/batches/{batch_id}")
    await expect(page.get_by_label("The batch").get_by_text("3 of 3 files analysed")).to_be_visible()
    await site.http.delete(f"scenarios/{ids[0]}")
    await expect(page.get_by_label("The batch").get_by_text("2 of 2 files analysed")).to_be_visible()
