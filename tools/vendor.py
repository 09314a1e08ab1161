"""`make vendor`: write the modules of other authors that the pages use, as app/pages/vendor.toml lists them.

Browsers find modules by address, not by name, and an import map would need an inline script, which the pages'
Content-Security-Policy forbids. So each imported name is rewritten to the file that has it.
"""

import re
import sys
import tarfile
import tomllib
from hashlib import sha256
from pathlib import Path
from typing import IO, cast

import msgspec
from msgspec import Struct

from tools import npm

PAGES = Path(__file__).parents[1] / "app" / "pages"
LIST = PAGES / "vendor.toml"
FOLDER = PAGES / "static" / "vendor"
LICENCES = "LICENSES.txt"

_IMPORTED = re.compile(r"""((?:\bfrom|\bimport)\s*)(["'])([@\w][\w@/-]*)\2""")
_SOURCE_MAP = re.compile(r"\n?//# sourceMappingURL=.*\s*$")


class VendoredFile(Struct, frozen=True):
    """A file: where it is in its package, what it is called here, and the module that others import."""

    path: str
    name: str
    module: str
    sha256: str


class VendoredPackage(Struct, frozen=True):
    """An npm package, and what is taken from it."""

    name: str
    version: str
    licence: str
    integrity: str
    file: list[VendoredFile]


def packages() -> list[VendoredPackage]:
    """Return what app/pages/vendor.toml lists."""
    return msgspec.convert(tomllib.loads(LIST.read_text())["package"], list[VendoredPackage])


def rewrite(text: str, names: dict[str, str]) -> str:
    """Return a module whose imports name files: `names` has the file of each module. Raises KeyError."""
    without_map = _SOURCE_MAP.sub("\n", text)
    return _IMPORTED.sub(lambda found: f"{found[1]}{found[2]}./{names[found[3]]}{found[2]}", without_map)


def build() -> dict[str, str]:
    """Return the text of each file by name.

    Raises:
        DownloadError: npm is missing or fails
        WrongPackageError: a package has another content
    """
    listed = packages()
    names = {file.module: file.name for package in listed for file in package.file}
    built, licences = {}, []
    for package in listed:
        with tarfile.open(npm.fetch(package.name, package.version, package.integrity)) as archive:
            licence = _read(archive, "LICENSE")
            licences.append(f"{package.name} {package.version}: {package.licence}\n\n{licence.strip()}\n")
            for file in package.file:
                built[file.name] = rewrite(_read(archive, file.path), names)
    return {**built, LICENCES: f"\n{'-' * 100}\n\n".join(licences)}


def _read(archive: tarfile.TarFile, path: str) -> str:
    return cast("IO[bytes]", archive.extractfile(f"package/{path}")).read().decode()


def main() -> None:
    """Write the files. End with a message if vendor.toml names another hash than what was built has."""
    try:
        built = build()
    except (npm.DownloadError, npm.WrongPackageError) as error:
        sys.exit(f"make vendor: {error}")
    for name, text in built.items():
        (FOLDER / name).write_text(text)
        print(f"written: {FOLDER / name}")
    hashes = {name: sha256(text.encode()).hexdigest() for name, text in built.items()}
    changed = [
        f"  {file.name}: {hashes[file.name]}"
        for package in packages()
        for file in package.file
        if file.sha256 != hashes[file.name]
    ]
    if changed:
        sys.exit("\n".join(["make vendor: see what changed, then write these to vendor.toml:", *changed]))


if __name__ == "__main__":
    main()
