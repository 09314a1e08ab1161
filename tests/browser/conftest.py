"""The pages in a browser: Chromium, and the whole service in this process, on its own port and databases.

All tests of this folder use one browser and its event loop. A test fails if the browser reports a violation
of the Content-Security-Policy, an error in its console, or an uncaught exception.
"""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

from tests.browser.site import Site, open_site
from tests.support.databases import Databases
from tests.support.missing import skip_or_fail

HERE = Path(__file__).parent
PATIENCE = 30_000  # milliseconds in which a page must show what is expected
_NO_ANSWER = "Failed to load resource"  # what a page makes of such an answer, the tests look at


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a program that starts Chromium with its parent's priority, and ends it with that.

    Chromium raises the priority of its threads if it is started by root. On a busy machine, it would then
    starve the tests that control it, for ever.
    """
    path = shutil.which("chromium")
    if path is None:
        skip_or_fail("needs chromium (Debian: apt install chromium)")
    setpriv = shutil.which("setpriv")  # of util-linux, which Debian always has
    if setpriv is None:
        return Path(path)
    program = tmp_path_factory.mktemp("browser") / "chromium"
    capabilities = "--bounding-set=-sys_nice --inh-caps=-sys_nice" if os.geteuid() == 0 else ""
    program.write_text(f'#!/bin/sh\nexec {setpriv} {capabilities} --pdeathsig=KILL -- {path} "$@"\n')
    program.chmod(0o700)
    return program


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """One browser for the whole session."""
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as driver:
        running = await driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def site(server: Databases, tmp_path: Path) -> AsyncIterator[Site]:
    """A service of the test's own, without keys and without scenarios."""
    async with open_site(server, tmp_path) as running:
        yield running


class Faults:
    """What a browser complains of. A test that expects some of it removes it from `found`."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def watch(self, page: Page) -> None:
        """Note what is wrong on a page from now on."""
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.found.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and _NO_ANSWER not in message.text:
            self.found.append(message.text)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, faults: Faults) -> AsyncIterator[Page]:
    """An empty tab in a browser profile of its own."""
    context = await browser.new_context(
        viewport={"width": 1280, "height": 800},
        locale="en-GB",
        timezone_id="Europe/Berlin",
        reduced_motion="reduce",  # else axe may see colours in the middle of a change of themes
    )
    context.set_default_timeout(PATIENCE)
    context.on("page", faults.watch)
    yield await context.new_page()
    await context.close()
    assert faults.found == []
