"""What the service is made of, and what the page says when a part of it is away."""

from pathlib import Path

from playwright.async_api import Page, Route, expect

from app.domain.channels import parse_channels
from app.domain.networks import Networks
from tests.browser.looking import look
from tests.browser.site import open_site
from tests.support.databases import Databases
from tests.support.webhook_receiver import SECRET, accept, receiver, status

CHANNELS = '[channels.ops]\ntype = "webhook"\nurl = "{url}"\nsecret = "{secret}"\n'


async def test_the_page_says_what_is_wrong_and_what_to_do(
    server: Databases, tmp_path: Path, page: Page
) -> None:
    async with receiver() as hook:
        channels = parse_channels(CHANNELS.format(url=hook.url, secret=SECRET), "channels.toml")
        networks = Networks("loopback")
        async with open_site(server, tmp_path, channels=channels, notify_networks=networks) as site:
            await page.goto(f"{site.url}#/system")
            await expect(page.get_by_text("Everything answers.")).to_be_visible()
            runners = page.get_by_role("region", name="Runners")
            await expect(runners.get_by_text("alive")).to_be_visible()
            await expect(runners.get_by_text("0 of 4")).to_be_visible()
            await expect(page.get_by_text("PostgreSQL").first).to_be_visible()

            hook.answer = status(401)
            test = page.get_by_role("button", name="Test", exact=True)
            await test.click()
            await expect(page.get_by_text("The channel did not take it:")).to_contain_text("401")
            await page.get_by_text("Deliveries", exact=True).click()
            await expect(
                page.get_by_role("region", name="Deliveries").get_by_text("given up")
            ).to_be_visible()
            await look(page, "system")
            hook.answer = accept
            await test.click()
            await expect(page.get_by_text("The channel took a test message.")).to_be_visible()

            async def away(route: Route) -> None:
                answer = await route.fetch()
                body = await answer.json()
                body["databases"][1] |= {"answers": False, "postgres_version": None, "bytes": None}
                await route.fulfill(response=answer, json=body)

            await page.route("**/system", away)
            await page.reload()
            fault = page.get_by_role("alert").filter(has_text="The predictions database does not answer.")
            await expect(fault).to_contain_text("VA_PREDICTIONS_DSN")
            await look(page, "system-fault")
