"""Every valid file of the tables loads; every invalid one is refused with exactly its message."""

from pathlib import Path

import pytest

from tests.load.tables import DATA, files, message_of


@pytest.mark.parametrize("name", files("valid"))
def test_valid_file_loads(name: str, tmp_path: Path) -> None:
    """A valid file of the tables has no problem."""
    assert message_of(name, tmp_path) == ""


@pytest.mark.parametrize("name", files("invalid"))
def test_invalid_file_has_its_message(name: str, tmp_path: Path) -> None:
    """An invalid file of the tables is refused with the message beside it, word by word."""
    expected = (DATA / f"{name}.message").read_text(encoding="utf-8")

    assert message_of(name, tmp_path) == expected
    assert expected


def test_tables_are_complete() -> None:
    """Every message belongs to a file, and the tables hold what `validate` promises to refuse."""
    invalid = files("invalid")
    messages = {path.relative_to(DATA).as_posix() for path in DATA.rglob("invalid-*.message")}
    promised = {"duplicate-key", "no-as-text", "unknown-key", "script-dotdot", "script-absolute", "unknown-column"}

    assert messages == {f"{name}.message" for name in invalid}
    assert {f"rules/rule/invalid-{name}.yaml" for name in promised} <= set(invalid)
    assert len(invalid) >= 40
