"""The vendored modules of the pages are those of their npm packages."""

import pytest

from tools.npm import DownloadError
from tools.vendor import FOLDER, build


@pytest.mark.timeout(400)
def test_the_vendored_modules_are_rebuilt_byte_for_byte() -> None:
    try:
        built = build()
    except DownloadError as error:
        pytest.skip(f"needs npm, and a registry that it reaches: {error}")
    assert built == {path.name: path.read_text() for path in FOLDER.iterdir()}
