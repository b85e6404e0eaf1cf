"""Origins of values as JSON."""

from remedy.origins import Origin

__all__ = ["origin_json"]


def origin_json(origin: Origin) -> dict[str, object]:
    """Return what kind of thing said a value, its name, and its place in a file."""
    shown: dict[str, object] = {"kind": origin.kind.value}
    if origin.name:
        shown["name"] = origin.name
    if origin.place is not None:
        shown |= {"file": origin.place.file, "line": origin.place.line, "column": origin.place.column}
    return shown
