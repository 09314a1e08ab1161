"""What all pages share: the bar, addresses, keys, themes, and the line that says what is wrong."""

from playwright.async_api import Page, expect

from tests.browser.looking import look
from tests.browser.site import Site


async def test_addresses_lead_to_pages_and_unknown_ones_say_so(site: Site, page: Page) -> None:
    await page.goto(f"{site.url}#/nowhere")
    await expect(page.get_by_role("heading", name="There is no page at this address")).to_be_visible()
    await look(page, "no-page")
    await page.get_by_role("link", name="Go to the overview").click()
    await expect(page).to_have_url(f"{site.url}#/")
    await expect(page.get_by_role("link", name="Overview", exact=True)).to_have_attribute(
        "aria-current", "page"
    )


async def test_keys_search_begin_and_list_themselves(site: Site, page: Page) -> None:
    await page.goto(site.url)
    await expect(page.get_by_role("link", name="+ New")).to_be_visible()
    await page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    await expect(keys.get_by_text("New scenario")).to_be_visible()
    await look(page, "keys")
    await page.keyboard.press("Escape")
    await expect(keys).to_have_count(0)
    await page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Search scenarios")
    await expect(search).to_be_focused()
    await search.fill("yard <b>")
    await search.press("Enter")
    await expect(page).to_have_url(f"{site.url}#/?text=yard+%3Cb%3E")
    await page.locator("main").focus()
    await page.keyboard.press("n")
    await expect(page).to_have_url(f"{site.url}#/new")


async def test_a_chosen_theme_stays(site: Site, page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto(site.url)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await page.evaluate(ground)
    for chosen in ("light", "dark"):
        if not await page.get_by_role("button", name="Theme:").is_visible():
            await page.get_by_label("Menu").click()
        await page.get_by_role("button", name="Theme:").click()
        await expect(page.get_by_role("button", name=f"Theme: {chosen}")).to_be_visible()
    dark = await page.evaluate(ground)
    assert dark != light
    await page.reload()
    await expect(page.get_by_role("link", name="+ New")).to_be_visible()
    assert await page.evaluate(ground) == dark
