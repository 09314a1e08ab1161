"""What a page does when the service is away, the computer slept, or many tabs are open."""

from collections import Counter
from datetime import timedelta

import pytest
from playwright.async_api import Page, Request, Route, expect

from tests.browser.looking import look
from tests.browser.site import Site
from tests.support.rows import BEGIN, add_scenario
from tests.support.waiting import until

AWAY = "The service has not answered since"


def streams_of(page: Page) -> list[Request]:
    """Return a list that grows by each request for the stream of changes."""
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request) if request.url.endswith("/stream") else None)
    return requests


async def test_a_lost_service_is_told_and_what_was_missed_is_shown(site: Site, page: Page) -> None:
    await add_scenario(site.scenarios, state="inactive")
    await page.goto(site.url)
    await expect(page.locator(".scenario")).to_have_count(1)
    assert await page.get_by_text(AWAY).count() == 0
    await site.stop()
    await expect(page.get_by_text(AWAY)).to_be_visible()
    await expect(page.locator(".scenario")).to_have_count(1)  # what is known stays
    await look(page, "service-away")
    await add_scenario(site.scenarios, state="inactive")  # no change is announced for it
    await site.start()
    await expect(page.get_by_text(AWAY)).to_have_count(0)
    await expect(page.locator(".scenario")).to_have_count(2)


async def test_a_page_that_is_opened_without_its_service_loads_it_later(site: Site, page: Page) -> None:
    await page.goto(f"{site.url}#/nowhere")
    await expect(page.get_by_role("heading", name="There is no page")).to_be_visible()
    await site.stop()
    await page.get_by_role("link", name="Overview", exact=True).click()
    await expect(page.get_by_text("This page cannot be loaded")).to_be_visible()
    await site.start()
    await expect(page.get_by_role("button", name="Try the sample")).to_be_visible()


async def test_a_computer_that_slept_connects_again_and_misses_nothing(site: Site, page: Page) -> None:
    await page.clock.install()
    streams = streams_of(page)
    await page.goto(site.url)
    await expect(page.get_by_role("button", name="Try the sample")).to_be_visible()
    await site.create("test:testsrc2?duration=1", {"type": "mock"})
    await page.clock.run_for(5_000)
    await expect(page.locator(".scenario")).to_have_count(1)
    await add_scenario(site.scenarios, state="inactive")
    await page.clock.fast_forward("10:00")
    await page.clock.run_for(10_000)
    await expect(page.locator(".scenario")).to_have_count(2)
    assert len(streams) >= 2
    assert "last-event-id" in await streams[1].all_headers()


@pytest.mark.parametrize("has_locks", [True, False])
async def test_many_tabs_share_one_stream_and_one_takes_over(site: Site, page: Page, has_locks: bool) -> None:
    """Ten tabs: a browser opens six connections to a service. Without https there are no locks."""
    if not has_locks:
        await page.context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    tabs = [page, *[await page.context.new_page() for _ in range(9 if has_locks else 1)]]
    streams = [streams_of(tab) for tab in tabs]
    for tab in tabs:
        await tab.goto(site.url)
    for tab in tabs:
        await expect(tab.get_by_role("button", name="Try the sample")).to_be_visible()
    await site.create("test:testsrc2?duration=1", {"type": "mock"})
    for tab in tabs:
        await expect(tab.locator(".scenario").get_by_text("completed")).to_be_visible()
    holding = [bool(each) for each in streams]
    assert sum(holding) == (1 if has_locks else 2)
    await tabs.pop(holding.index(True)).close()
    await site.create("test:testsrc2?duration=1", {"type": "mock"})
    for tab in tabs:
        await expect(tab.locator(".scenario").get_by_text("completed")).to_have_count(2)


async def test_a_service_that_fails_is_asked_ever_more_seldom(site: Site, page: Page) -> None:
    """Two minutes of a page that reads every five seconds; then the service is well again."""
    asked: Counter[str] = Counter()
    is_well = False

    async def fail(route: Route) -> None:
        asked[route.request.url.removeprefix(site.url)] += 1
        await (route.continue_() if is_well else route.fulfill(status=500))

    async def wait(route: Route) -> None:
        """Never answer: a stream that comes back would tell the page that the service is well again."""

    await page.route("**/stream", wait)
    await page.clock.install(time=BEGIN)
    await page.goto(f"{site.url}#/system")
    await expect(page.get_by_text("Everything answers")).to_be_visible()
    await page.route("**/system", fail)
    await page.route("**/runners", fail)
    await page.clock.pause_at(BEGIN + timedelta(hours=1))
    for _ in range(60):
        await page.clock.run_for(2_000)
    await expect(page.get_by_text("answered with status 500").first).to_be_visible()
    assert 1 <= min(asked.values()) <= max(asked.values()) <= 8
    is_well = True

    async def is_told_no_more() -> bool:
        await page.clock.run_for(2_000)
        return bool(await page.get_by_text("answered with status 500").count() == 0)

    await until(is_told_no_more)
