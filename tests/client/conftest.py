"""A service on a port, in this process, that the tests of a file share."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.client import AsyncClient
from tests.browser.site import Site, open_site
from tests.support.clips import marker_clip
from tests.support.databases import Databases

KEY = "a key of the tests"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(server: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A service with a key and two recordings, one of which is none."""
    async with open_site(server, tmp_path_factory.mktemp("site"), api_keys=(KEY,)) as running:
        marker_clip(running.media / "clip.mp4", frames=10)
        (running.media / "broken.mp4").write_text("no video")
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(site: Site) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(site.url, KEY) as opened:
        yield opened
