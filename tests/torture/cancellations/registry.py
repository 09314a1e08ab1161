"""Which functions work with a database, and how each of them is called."""

import inspect
import pkgutil
from collections.abc import Awaitable, Callable
from importlib import import_module

from app.postgres import Database
from tests.torture.cancellations.world import World

PARTS = ("app.orchestrator", "app.runner", "app.notifier", "app.api")
OF_EXTRAS = {"app.notifier.senders.mqtt"}
"""Modules that cannot be imported without an extra, and have no such functions."""

TAKES = ("Connection", "Database", "ApiDeps", "dsn")
LOOPS = {"app.orchestrator.run_orchestrator", "app.api.application.serve"}
"""Functions that run as long as the process: they call the others, and are cancelled once."""

BASICS = {"close", "watch", "connection", "transaction"}
"""Methods of a database that run as long as it does, or that every call uses."""

Call = Callable[[World], Awaitable[None]]
CALLS: dict[str, Call] = {}


def functions() -> set[str]:
    """Return the public asynchronous functions that take a connection, a database or its address, and those
    of a database itself."""
    found = {
        _name(method)
        for name, method in vars(Database).items()
        if inspect.isfunction(method) and _is_asynchronous(inspect.unwrap(method))
        if not name.startswith("_") and name not in BASICS
    }
    for part in PARTS:
        package = import_module(part)
        names = [part, *(each.name for each in pkgutil.walk_packages(package.__path__, f"{part}."))]
        for module in map(import_module, sorted(set(names) - OF_EXTRAS)):
            for name, value in vars(module).items():
                function = inspect.unwrap(value) if inspect.isfunction(value) else None
                if function is None or name.startswith("_") or function.__module__ != module.__name__:
                    continue
                if not _is_asynchronous(function):
                    continue
                if any(
                    word in str(each).replace("ASGIConnection", "")  # of a client, not of a database
                    for each in inspect.signature(function).parameters.values()
                    for word in TAKES
                ):
                    found.add(_name(function))
    return found - LOOPS


def _is_asynchronous(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _name(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def call(function: Callable[..., object]) -> Callable[[Call], Call]:
    """Register how one of the functions is called."""

    def register(how: Call) -> Call:
        CALLS[_name(inspect.unwrap(function))] = how
        return how

    return register
