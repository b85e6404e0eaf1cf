"""Protected hosts, budgets and freezes of remedy.yaml: read at the start, and the freezes again while a run goes on."""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from remedy.errors import FilesError, UsageError
from remedy.limits import Budget, parse_budget
from remedy.load.beneath import read_file
from remedy.load.document import Document, Route, survey_document
from remedy.load.inventory.patterns import check_pattern
from remedy.load.nodes import ScalarNode
from remedy.load.schema import Shape, check_parts
from remedy.load.yaml_events import RULES_LIMITS
from remedy.load.zones import load_zone
from remedy.safeguards import NO_SAFEGUARDS, Protected, Safeguards
from remedy.schedule import Freeze, freeze_between

__all__ = ["FreezesNow", "load_safeguards", "read_safeguards", "read_settings_file", "status_of"]

_YEARS = range(2000, 3000)
"""Years beyond are mistyped; and those at the ends of the calendar have no time in UTC."""

_Signature = tuple[int, int, int, int, int]
"""Device, inode, size, and when content and file were changed (ns): what tells one version of a file from another."""


def status_of(file: Path) -> os.stat_result | None:
    """
    Return the status of a remedy.yaml, of what it leads to if it is a link; None only when there is none.

    Raises:
        UsageError: it cannot be said, or it is a link that leads nowhere.
    """
    try:
        return file.stat()
    except (FileNotFoundError, NotADirectoryError) as exc:
        if file.is_symlink():
            raise UsageError(f"{file} is a link that leads nowhere; put back what it named, or remove it") from exc
        return None
    except OSError as exc:
        raise UsageError(f"{file} cannot be read: {(exc.strerror or str(exc)).lower()}") from exc


def read_settings_file(file: Path) -> Document:
    """
    Return a remedy.yaml as it stands; of what is in it only the YAML has been judged, and is among its problems.

    Raises:
        UsageError: it is not there or cannot be read.
        FilesError: it is no YAML that could be read to its end.
    """
    try:
        raw = read_file(file, bytes_max=RULES_LIMITS.bytes_max)
    except FileNotFoundError as exc:
        raise UsageError(f"{file}: there is no such file; put it back") from exc
    except ValueError as exc:
        raise UsageError(f"{file}: {exc}") from exc
    document, problems = survey_document(raw, file=str(file))
    if document is None:
        raise FilesError(problems)
    return document


def load_safeguards(document: Document) -> tuple[Safeguards, Shape]:
    """
    Return the safeguards of a remedy.yaml, with the shape of the whole file.

    Every mistake is added to the document's problems, and those of one key hide
    no other's. A file without any key has no safeguards.
    """
    if isinstance(document.node, ScalarNode) and document.node.value is None and not document.problems:
        return NO_SAFEGUARDS, Shape(wrong=(), lacking=())
    shape = check_parts(document, "remedy")
    if not isinstance(document.raw, dict):
        return NO_SAFEGUARDS, shape
    freezes = (
        _freeze(document, index)
        for index in range(_length(document.raw.get("freezes")))
        if shape.is_sound("freezes", index)
    )
    safeguards = Safeguards(
        protected=_protected(document) if shape.is_sound("protected") else (),
        per_rule=_budget(document, shape, "per_rule"),
        all_rules=_budget(document, shape, "all"),
        freezes=tuple(freeze for freeze in freezes if freeze is not None),
    )
    return safeguards, shape


def read_safeguards(files: Sequence[Path]) -> Safeguards:
    """
    Return what several remedy.yaml lay down together: a host, a freeze, a budget of any of them holds.

    Raises:
        UsageError: a file is not there or cannot be read.
        FilesError: a file is wrong, in whatever part.
    """
    together = NO_SAFEGUARDS
    for file in files:
        document = read_settings_file(file)
        safeguards, _ = load_safeguards(document)
        if document.problems:
            raise FilesError(document.problems)
        together = together.joined(safeguards)
    return together


class FreezesNow:
    """
    The freezes as the files say at this moment, for whoever is about to start something.

    `files` were read at the start and must stay readable; `may_appear` need not
    be there, but hold from the moment they are. A file is read again only when
    it has changed since.
    """

    def __init__(self, files: Sequence[Path], *, may_appear: Sequence[Path] = ()) -> None:
        self._files = tuple(files)
        self._may_appear = tuple(file for file in may_appear if file not in self._files)
        # One attribute, so that threads that read at the same moment never keep the freezes of one version
        # under the signatures of another.
        self._known: tuple[dict[Path, _Signature], tuple[Freeze, ...]] = ({}, ())

    def read(self) -> tuple[Freeze, ...]:
        """
        Return all freezes that the files have now.

        Raises:
            RemedyError: they cannot be known: a file is gone, unreadable, wrong, or
                suddenly empty (someone may be writing it). Treat it as frozen.
        """
        seen, freezes = self._known
        signatures = self._signatures(seen)
        if signatures != seen:
            _refuse_emptied(signatures, seen)
            # The signatures are older than what is read: a change in between is seen the next time.
            freezes = read_safeguards(tuple(signatures)).freezes
            self._known = (signatures, freezes)
        return freezes

    def _signatures(self, seen: Mapping[Path, _Signature]) -> dict[Path, _Signature]:
        """Return the signature of each file that must be there, and of each that has appeared."""
        signatures: dict[Path, _Signature] = {}
        for file in (*self._files, *self._may_appear):
            status = status_of(file)
            if status is not None:
                signatures[file] = _signature(status)
            elif file in self._files or file in seen:
                raise UsageError(f"{file} is gone, and it may hold freezes; put it back, nothing starts without it")
        return signatures


def _refuse_emptied(signatures: Mapping[Path, _Signature], seen: Mapping[Path, _Signature]) -> None:
    for file, (_, _, size, _, _) in signatures.items():
        if not size and file in seen and seen[file][2]:
            raise UsageError(f"{file} is empty and was not: is it being written? Its freezes are not known")


def _signature(status: os.stat_result) -> _Signature:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _length(raw: object) -> int:
    return len(raw) if isinstance(raw, list) else 0


def _protected(document: Document) -> tuple[Protected, ...]:
    pattern = document.value(["protected"])
    if pattern is None:
        return ()
    try:
        check_pattern(pattern, files=False)
    except UsageError as exc:
        document.add(["protected"], str(exc))
    return (Protected(hosts=pattern, place=document.place(["protected"])),)


def _budget(document: Document, shape: Shape, key: str) -> Budget | None:
    route: Route = ["budgets", key]
    raw = document.value(route)
    if raw is None or not shape.is_sound(*route):
        return None
    try:
        return parse_budget(raw)
    except ValueError as exc:
        document.add(route, str(exc))
        return None


def _freeze(document: Document, index: int) -> Freeze | None:
    route: Route = ["freezes", index]
    raw = document.value(route)
    zone = load_zone(document, [*route, "zone"])
    start, end = _time(document, [*route, "from"]), _time(document, [*route, "to"])
    if start is None or end is None:
        return None
    if end <= start:
        document.add([*route, "to"], f"{raw['to']} is not after `from`, {raw['from']}", "exchange or correct them")
        return None
    return freeze_between(start, end, zone=zone, reason=raw["reason"])


def _time(document: Document, route: Route) -> datetime | None:
    raw = document.value(route)
    try:
        time = datetime.fromisoformat(raw)
    except ValueError:
        document.add(route, f"there is no time {raw}", "write YYYY-MM-DDTHH:MM")
        return None
    if time.year not in _YEARS:
        document.add(route, f"{raw} is not in the years {_YEARS[0]} to {_YEARS[-1]}", "correct the year")
        return None
    return time
