"""Look at a page: in both themes, narrow and wide, by pictures and by axe."""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.support.paths import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
_SERIOUS = ("serious", "critical")


async def look(page: Page, name: str) -> None:
    """Keep pictures of the page, and fail if axe finds something serious: light and wide, or dark and narrow.

    The page must be complete: wait for what it shows first.
    """
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    wide = page.viewport_size
    await page.emulate_media(color_scheme="light")
    found = await _faults(page, "light")
    await page.screenshot(path=SCREENSHOTS / f"{name}-light.png")
    await page.emulate_media(color_scheme="dark")
    await page.screenshot(path=SCREENSHOTS / f"{name}-dark.png")
    await page.set_viewport_size({"width": 360, "height": 740})
    found += await _faults(page, "dark and narrow")
    await page.screenshot(path=SCREENSHOTS / f"{name}-narrow.png")
    overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if overflow > 0:
        found.append(f"narrow: the page is {overflow} pixels wider than the window")
    if wide is not None:
        await page.set_viewport_size(wide)
    await page.emulate_media(color_scheme="light")
    assert not found, "\n".join(found)


async def _faults(page: Page, how: str) -> list[str]:
    result = (await Axe().run(page, options={"resultTypes": ["violations"]})).response
    return [
        f"{how}: {violation['help']}: {node['html'][:200]}"
        for violation in result["violations"]
        if violation["impact"] in _SERIOUS
        for node in violation["nodes"]
    ]
