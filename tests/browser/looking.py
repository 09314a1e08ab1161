"""Look at a page: in both themes, narrow and wide, with the eyes of axe."""

from typing import Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.support.paths import ROOT

SCREENSHOTS = ROOT / "build" / "screenshots"
_SERIOUS = ("serious", "critical")
_THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def look(page: Page, name: str) -> None:
    """Keep a picture of the page in both themes and narrow, and fail if axe finds something serious.

    The page must be complete: wait for what it shows first.
    """
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    for theme in _THEMES:
        await page.emulate_media(color_scheme=theme)
        found += await _faults(page, theme)
        await page.screenshot(path=SCREENSHOTS / f"{name}-{theme}.png")
    wide = page.viewport_size
    await page.set_viewport_size({"width": 360, "height": 740})
    found += await _faults(page, "narrow")
    await page.screenshot(path=SCREENSHOTS / f"{name}-narrow.png")
    overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if overflow > 0:
        found.append(f"narrow: the page is {overflow} pixels wider than the window")
    if wide is not None:
        await page.set_viewport_size(wide)
    await page.emulate_media(color_scheme="light")
    assert not found, "\n".join(found)


async def _faults(page: Page, how: str) -> list[str]:
    result = (await Axe().run(page)).response
    return [
        f"{how}: {violation['help']}: {node['html'][:200]}"
        for violation in result["violations"]
        if violation["impact"] in _SERIOUS
        for node in violation["nodes"]
    ]
