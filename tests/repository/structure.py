"""What a tree of Python files looks like: modules, imports, public classes, sizes and names."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

MOST_LINES = 350
MOST_OF_ONE_PREFIX = 2


class Tree:
    """The Python files below some folders of `root`."""

    def __init__(self, root: Path, *folders: str) -> None:
        self._root = root
        self._paths = sorted(path for folder in folders for path in (root / folder).rglob("*.py"))
        self._modules = {self._module(path): path for path in self._paths}

    def long_files(self) -> list[str]:
        """Files of more than MOST_LINES lines."""
        counts = {path: len(path.read_text().splitlines()) for path in self._paths}
        return [f"{self._name(path)}: {count}" for path, count in counts.items() if count > MOST_LINES]

    def repeated_prefixes(self) -> list[str]:
        """First words that more than MOST_OF_ONE_PREFIX modules of a folder share, `test_` not counted."""
        shared: dict[str, list[str]] = defaultdict(list)
        for folder, names in self._folders():
            for name in sorted({name.removeprefix("test_") for name in names}):
                shared[f"{folder}/{name.partition('_')[0]}_"].append(name)
        return [f"{prefix}: {names}" for prefix, names in shared.items() if len(names) > MOST_OF_ONE_PREFIX]

    def names_that_begin_others(self) -> list[str]:
        """Modules of a folder whose name is the beginning of a neighbour's: `run` beside `runner`."""
        return [
            f"{folder}/{short}, {long}"
            for folder, names in self._folders()
            for short, long in pairwise(sorted(names))
            if long.startswith(short)
        ]

    def repeated_classes(self) -> list[str]:
        """Names of public classes that more than one module defines."""
        defined: dict[str, list[str]] = defaultdict(list)
        for path in self._paths:
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    defined[node.name].append(self._name(path))
        return [f"{name}: {paths}" for name, paths in sorted(defined.items()) if len(paths) > 1]

    def import_cycle(self) -> list[str]:
        """The modules of one import cycle, or nothing."""
        graph = {module: self.imported_by(module) & self._modules.keys() for module in self._modules}
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1]
            return cycle
        return []

    def imported_by(self, module: str) -> set[str]:
        """Names of modules that `module` imports, wherever in it, those outside of the tree included."""
        found: set[str] = set()
        path = self._modules[module]
        parts = module.split(".")
        package = parts if path.name == "__init__.py" else parts[:-1]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                names = {f"{base}.{alias.name}" for alias in node.names}
                found |= {name if name in self._modules else base for name in names}
        return found - {module}

    def reachable(self, modules: Iterable[str]) -> set[str]:
        """Names of all modules that are imported by `modules`, directly or through others of the tree."""
        found: set[str] = set()
        left = list(modules)
        while left:
            new = self.imported_by(left.pop()) - found
            found |= new
            left += new & self._modules.keys()
        return found

    def modules_below(self, folder: str) -> list[str]:
        """Names of the modules in a folder of the root."""
        return [module for module in self._modules if module.split(".")[0] == folder]

    def _folders(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each folder, and the names of its modules and packages."""
        names: dict[Path, set[str]] = defaultdict(set)
        for path in self._paths:
            package = path.name == "__init__.py"
            names[path.parent.parent if package else path.parent].add(
                path.parent.name if package else path.stem
            )
        for folder, found in names.items():
            yield self._name(folder), sorted(found - {"__main__"})

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _module(self, path: Path) -> str:
        return ".".join(path.relative_to(self._root).with_suffix("").parts).removesuffix(".__init__")
