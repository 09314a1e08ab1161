"""Detectors of other installed packages: plug-ins, found by their entry points.

The classes of configurations must be known when the types that hold them are defined, so the entry points are
loaded when the module that defines these types is imported. docs/plugins.md tells how to write one.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions
from itertools import groupby
from typing import ClassVar, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import StructConfig

from .config_docs import docs_of

GROUP = "videoanalysis.detectors"
"""The entry point group. An entry's name is the detector's, its object the class of its configuration."""


class PluginConfig(Protocol):
    """A plug-in's configuration, a msgspec Struct. `make_detector` returns an object with `detect`."""

    __struct_config__: ClassVar[StructConfig]

    def make_detector(self) -> object: ...


class Plugins(Struct, frozen=True):
    """The classes of configurations, and by detector's name its package, or why it is left out."""

    configs: tuple[type[Struct], ...] = ()
    packages: dict[str, str] = {}
    faults: dict[str, str] = {}  # of a package with damaged files by its own name


class _PluginError(Exception):
    """A plug-in cannot be used. The text says what its author must do."""


def load_plugins(built_in: Iterable[str], entries: Iterable[EntryPoint] | None = None) -> Plugins:
    """Load all plug-ins. `built_in` are the names of the service's own detectors.

    A plug-in that cannot be used is left out, with its fault: it must not keep the others from working.
    """
    plugins, taken = Plugins(), frozenset(built_in)
    found = sorted(_installed(plugins.faults) if entries is None else entries, key=_order)
    for name, group in groupby(found, key=lambda entry: entry.name):
        same = list(group)
        package = " and ".join(map(_package, same))
        try:
            plugins.packages[name] = package
            config = _load(same, taken)
        except (Exception, SystemExit) as error:  # importing a package can raise anything
            text = str(error) if isinstance(error, _PluginError) else f"{type(error).__name__}: {error}"
            line = " ".join(text.split())
            plugins.faults[name] = f"the detector {name!r} of {package} cannot be used: {line}"
        else:
            plugins = Plugins((*plugins.configs, config), plugins.packages, plugins.faults)
    return plugins


def _installed(faults: dict[str, str]) -> list[EntryPoint]:
    """Return the entry points of all packages; add to `faults` those whose list cannot be read.

    `importlib.metadata.entry_points` raises if one package of all that are installed has such a list.
    """
    packages = list(distributions())
    if not any(map(_may_have_plugins, packages)):  # to read the names of all takes 60 ms
        return []
    entries: dict[str, EntryPoints] = {}
    for package in packages:
        try:
            if package.name not in entries:  # the first on the path is the one that is imported
                entries[package.name] = package.entry_points.select(group=GROUP)
        except Exception:  # its files can be anything
            with suppress(Exception):
                if GROUP in (package.read_text("entry_points.txt") or ""):
                    told = "cannot be used: its entry points are damaged, so reinstall it"
                    faults[package.name] = f"the package {package.name!r} {told}"
    return [entry for each in entries.values() for entry in each]


def _may_have_plugins(package: Distribution) -> bool:
    try:
        return GROUP in (package.read_text("entry_points.txt") or "")
    except Exception:  # its files can be anything
        return True


def _order(entry: EntryPoint) -> tuple[str, str]:
    return entry.name, _package(entry)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _load(entries: Sequence[EntryPoint], built_in: frozenset[str]) -> type[Struct]:
    """Return the configuration of the one entry of a name. Raises _PluginError, or what its import raises."""
    if len(entries) > 1:
        raise _PluginError("both have this name: uninstall one of them")
    (entry,) = entries
    if entry.name in built_in:
        raise _PluginError("the service has a detector of this name: rename the entry point")
    if not re.fullmatch("[a-z][a-z0-9_-]{0,49}", entry.name):
        raise _PluginError("its name must have at most 50 small letters, digits, hyphens and underscores")
    config = entry.load()
    if not (isinstance(config, type) and issubclass(config, Struct)):
        raise _PluginError(f"{entry.value} is no msgspec Struct, but must be the class of its configuration")
    declared = config.__struct_config__
    if not (
        declared.tag_field == "type"
        and declared.tag == entry.name
        and declared.forbid_unknown_fields
        and declared.frozen
        and not declared.array_like
    ):
        raise _PluginError(
            f"declare it as class {config.__name__}(Struct, frozen=True, forbid_unknown_fields=True,"
            f' tag_field="type", tag="{entry.name}")'
        )
    if not callable(getattr(config, "make_detector", None)):
        raise _PluginError(f"{config.__name__} has no method make_detector")
    msgspec.json.schema_components((config,))  # raises TypeError for a field that JSON Schema cannot describe
    docs_of(config)
    return config
