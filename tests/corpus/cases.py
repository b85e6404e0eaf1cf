r"""
The corpus: what `remedy validate` says of repositories with mistakes, with doubtful things, and with none.

A case is one text file in invalid/, doubtful/ or valid/. Its first lines, with #, say what it
shows; then come the files it adds to the base repository (tests/data/rules/base), and
what is said of them:

    # A key that does not exist.
    === rules/low-disk/rule.yaml
    rule: low-disk
    …
    === says
    rules/low-disk/rule.yaml:14:1: unknown key `limts`; did you mean `limits`?
    === warns
    rules/low-disk/rule.yaml:5:7: …

A file of its own in the top folder that is called `inventory.…` is the inventory. Instead
of a whole file, `=== rules/low-disk/rule.yaml +` stands for the base repository's with lines
added, and `=== … s/OLD/NEW` for it with one piece replaced (as well s|OLD|NEW; \n is a line's end).
The tables in tests/data are cases as well: one file at its place, and its message.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.load.tables import BASE, DATA, files

__all__ = ["CORPUS", "Case", "corpus_cases", "read_case", "table_cases", "write_repository"]

CORPUS = Path(__file__).parent
_PLACES = {
    "rules/rule": "rules/low-disk/rule.yaml",
    "rules/signal": "rules/signals/disk/signal.yaml",
    "rules/tests": "rules/low-disk/tests.yaml",
    "rules/remedy": "remedy.yaml",
}
_HOSTS = b"dc: {hosts: {dc-1: {}}}\ndc-test: {hosts: {dc-2: {}}}\nall: {hosts: {db-primary: {}, web-1: {}}}\n"
"""What the settings of the tables name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Files by their places in the repository (None: taken away), and the lines said of them on both streams."""

    name: str
    fact: str
    files: Mapping[str, bytes | None]
    says: tuple[str, ...]
    warns: tuple[str, ...] = ()


def corpus_cases(kind: str) -> list[Path]:
    """Return the files of the corpus of one kind: invalid, doubtful or valid."""
    return sorted((CORPUS / kind).glob("*.txt"))


def read_case(path: Path) -> Case:
    """Return a case of the corpus."""
    fact, *sections = path.read_bytes().split(b"\n=== ")
    added: dict[str, bytes] = {}
    lines: dict[str, tuple[str, ...]] = {"says": (), "warns": ()}
    for section in sections:
        head, _, body = section.partition(b"\n")
        name = head.decode()
        body = body + b"\n" if body and section is not sections[-1] else body
        if name in lines:
            lines[name] = tuple(body.decode().splitlines())
        else:
            place, _, change = name.partition(" ")
            added[place] = _changed(place, change, body, added)
    return Case(
        name=f"{path.parent.name}/{path.stem}",
        fact=" ".join(line.removeprefix("#").strip() for line in fact.decode().splitlines()),
        files=added,
        says=lines["says"],
        warns=lines["warns"],
    )


def _changed(place: str, change: str, body: bytes, added: dict[str, bytes]) -> bytes:
    if not change:
        return body
    before = added.get(place) or (BASE / place.removeprefix("rules/")).read_bytes()
    if change == "+":
        return before + body
    _, old, new = change.encode().replace(b"\\n", b"\n").split(change[1:2].encode(), 2)
    assert before.count(old) == 1, f"{place}: {old!r} stands there {before.count(old)} times"
    return before.replace(old, new)


def table_cases() -> list[Case]:
    """Return the files of the tables in tests/data, valid and invalid, as cases."""
    cases = []
    for name in (*files("invalid"), *files("valid")):
        file = DATA / name
        message = DATA / f"{name}.message"
        place = _PLACES.get(str(Path(name).parent), f"inventory{file.suffix}")
        says = tuple(message.read_text(encoding="utf-8").splitlines()) if message.exists() else ()
        added: dict[str, bytes | None] = {place: file.read_bytes()}
        if place.endswith("rule.yaml") and not says:
            added["rules/low-disk/tests.yaml"] = None  # They are of the base repository's rule.
        if place == "remedy.yaml":
            added["inventory.yaml"] = _HOSTS
        cases.append(Case(name=name, fact=name, files=added, says=says))
    return cases


def write_repository(case: Case, folder: Path) -> list[str]:
    """Write the base repository with a case's files into a folder; return the arguments that name its inventory."""
    shutil.copytree(BASE, folder / "rules")
    (folder / "rules" / "low-disk" / "folder").mkdir()
    for place, body in case.files.items():
        path = folder / place
        if body is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    named = [place for place in case.files if place.startswith("inventory.")]
    return ["-i", named[0]] if named else []
