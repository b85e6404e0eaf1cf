"""The corpus: `remedy validate` says of each of its repositories exactly what stands there, and nothing else."""

from pathlib import Path

import pytest

from remedy.cli.commands.validate import run_validate
from remedy.cli.composition import Options
from tests.corpus.cases import Case, corpus_cases, read_case, table_cases, write_repository

INVALID, DOUBTFUL, VALID = (corpus_cases(kind) for kind in ("invalid", "doubtful", "valid"))
TABLES = table_cases()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep what names rules and inventories out of the way."""
    for name in ("REMEDY_RULES", "REMEDY_INVENTORY", "REMEDY_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def _validate(
    case: Case, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, strict: bool
) -> tuple[int, list[str], list[str]]:
    """Return exit code, what is said and what is warned of, without the line that counts."""
    folder.mkdir()
    inventory = [*write_repository(case, folder), None, None][1]
    monkeypatch.chdir(folder)
    code = run_validate(Options(inventory=inventory), [], output="text", strict=strict)
    out, err = (text.splitlines() for text in capsys.readouterr())
    warned = [line.removeprefix("warning: ") for line in err if line.startswith("warning: ")]
    counted = [line for line in (*out, *err) if " problem" in line and line.split()[0].isdigit()]
    assert len(counted) == 1
    assert len(out) + len(err) == len([line for line in out if line not in counted]) + len(warned) + 1
    return code, [line for line in out if line not in counted], warned


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid_repository_has_exactly_its_messages(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every mistake of an invalid repository is said, with its place and its cure, once; it ends with 1."""
    case = read_case(path)

    code, said, warned = _validate(case, tmp_path / "here", monkeypatch, capsys, strict=False)

    assert (said, warned) == (list(case.says), list(case.warns))
    assert (code, bool(case.says), bool(case.fact)) == (1, True, True)


@pytest.mark.parametrize("path", DOUBTFUL, ids=lambda path: path.stem)
def test_doubtful_repository_has_exactly_its_warnings(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is allowed and hardly meant is warned of and ends with 0; with --strict it is said, and ends with 1."""
    case = read_case(path)

    code, said, warned = _validate(case, tmp_path / "here", monkeypatch, capsys, strict=False)
    strict = _validate(case, tmp_path / "strict", monkeypatch, capsys, strict=True)

    assert (code, said, warned) == (0, [], list(case.warns))
    assert strict == (1, list(case.warns), [])
    assert case.warns
    assert case.fact


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid_repository_has_nothing_said_of_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A valid repository has neither a problem nor a warning, also with --strict."""
    case = read_case(path)

    assert _validate(case, tmp_path / "here", monkeypatch, capsys, strict=True) == (0, [], [])
    assert not case.says
    assert case.fact


@pytest.mark.slow
@pytest.mark.parametrize("case", TABLES, ids=lambda case: case.name)
def test_file_of_the_tables_is_validated_as_it_is_loaded(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the loaders refuse word by word is what the command says, word by word; what they take it takes."""
    code, said, _ = _validate(case, tmp_path / "here", monkeypatch, capsys, strict=False)

    assert (code, said) == (int(bool(case.says)), list(case.says))


def test_corpus_is_large_enough() -> None:
    """At least 120 repositories are invalid, each with its messages, and at least 40 valid."""
    invalid = len(INVALID) + sum(1 for case in TABLES if case.says)
    valid = len(VALID) + sum(1 for case in TABLES if not case.says)

    assert invalid >= 120
    assert valid >= 40
    assert len(DOUBTFUL) >= 20
