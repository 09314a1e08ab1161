"""Logging in: with which key, what a viewer sees, and what happens when a session ends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.looking import look
from tests.browser.site import Site, open_site
from tests.support.databases import Databases
from tests.support.ports import free_port

KEY, VIEWER = "a-long-secret-key", "a-key-of-a-viewer"


@pytest_asyncio.fixture(loop_scope="session")
async def locked(server: Databases, tmp_path: Path) -> AsyncIterator[Site]:
    """A service with keys, so that this machine needs one, too; it has one scenario."""
    async with open_site(server, tmp_path, api_keys=(KEY,), viewer_keys=(VIEWER,)) as running:
        await running.create("test:testsrc2?live=true&size=320x180", {"type": "mock"}, name="door")
        yield running


async def log_in(page: Page, key: str) -> None:
    await page.get_by_label("Key", exact=True).fill(key)
    await page.get_by_role("button", name="Log in").click()


async def test_an_administrator_logs_in_and_out(locked: Site, page: Page) -> None:
    await page.goto(f"{locked.url}#/?show=running")
    await expect(page.get_by_role("heading", name="videoanalysis")).to_be_visible()
    await look(page, "login")
    await log_in(page, "not-the-right-key")
    await expect(page.get_by_role("alert")).to_contain_text("The API key is not valid")
    await expect(page.get_by_label("Key", exact=True)).to_be_focused()
    await look(page, "login-refused")
    await log_in(page, KEY)
    await expect(page).to_have_url(f"{locked.url}#/?show=running")
    await expect(page.locator(".tile img")).to_be_visible()  # pictures and the stream come with the cookie
    await page.reload()
    await expect(page.get_by_label("Select door")).to_be_visible()
    await page.get_by_label("Menu").click()
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_label("Key", exact=True)).to_be_visible()
    await page.goto(locked.url)
    await expect(page.get_by_label("Key", exact=True)).to_be_visible()


async def test_a_viewer_sees_no_control_that_would_be_refused(locked: Site, page: Page) -> None:
    await page.goto(locked.url)
    await log_in(page, VIEWER)
    await expect(page.locator(".scenario").get_by_text("running")).to_be_visible()
    await look(page, "overview-viewer")
    assert await page.get_by_role("link", name="+ New").count() == 0
    assert await page.get_by_role("checkbox").count() == 0
    await page.keyboard.press("n")
    await expect(page).to_have_url(f"{locked.url}#/")
    async with locked.scenarios.connection() as connection:
        await connection.execute(
            "UPDATE scenarios SET state = 'inactive', outcome = 'stopped', runner_id = NULL, boot_id = NULL,"
            " lease_renewed_at = NULL, deleted_at = now()"
        )
    await page.reload()
    await expect(page.get_by_role("heading", name="Nothing is analysed yet")).to_be_visible()
    assert await page.get_by_role("button", name="Try the sample").count() == 0


async def test_an_ended_session_asks_for_the_key_and_goes_on(locked: Site, page: Page) -> None:
    await page.goto(locked.url)
    await log_in(page, VIEWER)
    await expect(page.locator(".scenario")).to_have_count(1)
    await page.get_by_label("State").select_option("running")
    await expect(page).to_have_url(f"{locked.url}#/?show=running")
    await page.context.clear_cookies()  # the next picture of the live source is refused
    await expect(page.get_by_text("The session has ended. Log in again to go on.")).to_be_visible()
    await log_in(page, VIEWER)
    await expect(page).to_have_url(f"{locked.url}#/?show=running")
    await expect(page.locator(".scenario")).to_have_count(1)


async def test_pages_work_below_the_path_of_a_proxy(server: Databases, tmp_path: Path, page: Page) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/video"
    async with open_site(server, tmp_path, port=port, api_keys=(KEY,), public_url=url) as site:
        await page.goto(site.url)
        await log_in(page, KEY)
        await expect(page.get_by_role("button", name="Try the sample")).to_be_visible()
        await site.create("test:testsrc2?live=true&size=320x180", {"type": "mock"}, name="door")
        await expect(page.locator(".tile img")).to_be_visible()
        await page.reload()
        await expect(page.locator(".tile img")).to_be_visible()
