"""The paths of models: a name may have slashes, so one route serves both of them."""

_MODELS = "/models/"
_TRY = "/try"


def name_in(path: str) -> tuple[str, bool]:
    """Return a model's name in what follows `/models`, and whether it is to be tried."""
    name = path.lstrip("/")
    return (name.removesuffix(_TRY), True) if name.endswith(_TRY) else (name, False)


def allowed_methods(path: str) -> str | None:
    """Return the methods of a model's path, as in the header Allow; None if it is another path."""
    if not path.startswith(_MODELS):
        return None
    _, is_try = name_in(path.removeprefix(_MODELS))
    return "OPTIONS, POST" if is_try else "GET, OPTIONS"
