"""docs/rules.md says what `validate` warns of, and the corpus shows each of it."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

from remedy.cli.commands.validate import CODES, run_validate
from remedy.cli.composition import Options
from remedy.load.doubts import DOUBTS
from tests.corpus.cases import corpus_cases, read_case, write_repository

_PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")


def test_page_lists_every_warning() -> None:
    """The table of warnings has every code that there is, and no other."""
    section = _PAGE.partition("## What `validate` says")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)

    assert sorted(listed) == sorted(set(CODES) - {"invalid"})
    assert set(DOUBTS) < set(CODES)


def test_corpus_shows_every_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every code of a warning is said of at least one doubtful repository."""
    said = set()
    for path in corpus_cases("doubtful"):
        folder = tmp_path / path.stem
        folder.mkdir()
        inventory = [*write_repository(read_case(path), folder), None, None][1]
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "stdout", out := io.StringIO())
        run_validate(Options(inventory=inventory), [], output="json", strict=False)
        said |= {each["code"] for each in json.loads(out.getvalue())["warnings"]}

    assert said == set(CODES) - {"invalid"}
