"""Damaged files: whatever stands in them, only our own errors leave the loaders."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import RemedyError
from tests.load.tables import DATA, LOADERS, files

_PIECES = ["", " ", "\n", ":", "- ", "{", "}", "[", "]", "'", '"', "#", "1", "-1", "1e308", "true", "null", "no", "''"]
_PIECES += ["{}", "[]", "a: b", "  ", "\t", "\0", "é", "\U0001f600", "9" * 30, "10%", "200%", "5m", "x" * 300, "all:"]
_PLACES = st.floats(0, 1, exclude_max=True)
_EDITS = st.lists(st.tuples(_PLACES, st.integers(0, 30), st.sampled_from(_PIECES)), min_size=1, max_size=4)


def _damaged(text: str, edits: list[tuple[float, int, str]]) -> str:
    for place, length, piece in edits:
        start = int(place * (len(text) + 1))
        text = text[:start] + piece + text[start + length :]
    return text


@pytest.mark.parametrize("kind", sorted(LOADERS))
@settings(max_examples=20, deadline=None)
@given(data=st.data(), edits=_EDITS)
def test_damaged_file_is_loaded_or_refused(kind: str, data: st.DataObject, edits: list[tuple[float, int, str]]) -> None:
    """A valid file with pieces cut out and put in loads, or is refused with an error of ours."""
    names = [name for name in files("valid") if str(Path(name).parent) == kind]
    name = data.draw(st.sampled_from(names))
    folder = Path(tempfile.mkdtemp())
    try:
        file = folder / f"damaged{Path(name).suffix}"
        file.write_text(_damaged((DATA / name).read_text(encoding="utf-8"), edits), encoding="utf-8")
        (folder / "load").mkdir()
        said = "loaded"
        try:
            LOADERS[kind](file, folder / "load")
        except RemedyError as exc:
            said = str(exc)
    finally:
        shutil.rmtree(folder)

    assert said
    assert "Traceback" not in said
