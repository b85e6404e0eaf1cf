"""What became of hosts at `remedy enroll`: tables for people, JSON for machines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from remedy.render.tables import table
from remedy.summary import ExitCode
from remedy.text import counted, untrusted

__all__ = ["EnrollEnd", "EnrolledHost", "KeyShown", "enroll_json", "enroll_lines", "enroll_summary", "question_lines"]


class EnrollEnd(StrEnum):
    """
    How a host ended; nothing is recorded but at `recorded`.

    known         all that it shows is known already, or its certificate is
    recorded      keys that were confirmed are written down
    shown         nobody confirmed: no terminal, and no second source that speaks of it
    declined      a person said no
    changed       it is known, and shows other keys
    mismatch      the second source says other keys than it shows
    revoked       a known_hosts file says that nobody may trust what it shows
    distrusted    an authority is known for it, and the certificate that it shows does not count
    unreachable   it could not be asked
    refused       it shows no key that is supported, or its settings say no
    unwritten     confirmed, and the file could not be written
    not_ssh       not reached over SSH: it has no host key
    """

    KNOWN = "known"
    RECORDED = "recorded"
    SHOWN = "shown"
    DECLINED = "declined"
    CHANGED = "changed"
    MISMATCH = "mismatch"
    REVOKED = "revoked"
    DISTRUSTED = "distrusted"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    UNWRITTEN = "unwritten"
    NOT_SSH = "not_ssh"

    @property
    def exit_code(self) -> ExitCode:
        """What a host that ends so makes of the whole."""
        match self:
            case EnrollEnd.KNOWN | EnrollEnd.RECORDED | EnrollEnd.NOT_SSH:
                return ExitCode.DONE
            case EnrollEnd.DECLINED | EnrollEnd.UNWRITTEN:
                return ExitCode.COULD_NOT_RUN
            case EnrollEnd.CHANGED | EnrollEnd.MISMATCH | EnrollEnd.REVOKED | EnrollEnd.DISTRUSTED:
                return ExitCode.BAD
            case EnrollEnd.SHOWN | EnrollEnd.UNREACHABLE | EnrollEnd.REFUSED:
                return ExitCode.INCOMPLETE


_LOUD = {EnrollEnd.CHANGED, EnrollEnd.MISMATCH, EnrollEnd.REVOKED, EnrollEnd.DISTRUSTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShown:
    """A key that a host has shown: its kind and fingerprint, whether it is known by now, and whether since now."""

    kind: str
    fingerprint: str
    known: bool = False
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledHost:
    """
    What became of one host: its name in the inventory, its name and file in known_hosts, and its keys.

    `reason` says why it ended so, with the cure; `where` is how it was reached.
    """

    host: str
    end: EnrollEnd
    where: str = ""
    name: str = ""
    file: str = ""
    keys: tuple[KeyShown, ...] = ()
    reason: str = ""


def question_lines(host: EnrolledHost) -> list[str]:
    """Return what a person is to compare before saying yes."""
    width = max((len(key.kind) for key in host.keys), default=0)
    return [
        f"{untrusted(host.host)} ({untrusted(host.where)}) shows",
        *(f"  {key.kind:<{width}}  {key.fingerprint}{'  known' if key.known else ''}" for key in host.keys),
        "Compare with what its owner or its console says: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
    ]


def enroll_lines(hosts: Sequence[EnrolledHost]) -> list[RenderableType]:
    """Return a table of the hosts and their keys, then the reasons."""
    rows = [row for host in hosts for row in _rows(host)]
    reasons = [_reason(host) for host in hosts if host.reason]
    return [table(("host", "end", "key", "fingerprint", "known"), rows), *reasons]


def _rows(host: EnrolledHost) -> Iterable[tuple[str | Text, ...]]:
    style = "bold red" if host.end in _LOUD else ""
    end = Text(host.end.value, style=style)
    if not host.keys:
        yield host.host, end, "", "", ""
    for number, key in enumerate(host.keys):
        known = "now" if key.recorded else "yes" if key.known else "no"
        yield (
            (host.host, end, key.kind, key.fingerprint, known)
            if number == 0
            else (
                "",
                "",
                key.kind,
                key.fingerprint,
                known,
            )
        )


def _reason(host: EnrolledHost) -> Text:
    return Text(untrusted(f"{host.host}: {host.reason}"), style="bold red" if host.end in _LOUD else "")


def enroll_summary(hosts: Sequence[EnrolledHost]) -> str:
    """Return how many hosts ended how, the file that was written to, and that nobody logged in."""
    ends = [f"{sum(host.end is end for host in hosts)} {end.value}" for end in EnrollEnd]
    said = ", ".join(end for end in ends if not end.startswith("0 "))
    files = sorted({host.file for host in hosts if host.end is EnrollEnd.RECORDED})
    where = f"; written to {', '.join(files)}" if files else "; nothing was written"
    return f"{counted(len(hosts), 'host')}: {said}{where}; nobody logged in"


def enroll_json(hosts: Sequence[EnrolledHost]) -> dict[str, Any]:
    """Return the same as one JSON document."""
    return {
        "enroll": 1,
        "hosts": [
            {
                "host": host.host,
                "end": host.end.value,
                "name": host.name,
                "file": host.file,
                "reason": host.reason,
                "keys": [
                    {
                        "type": key.kind,
                        "fingerprint": key.fingerprint,
                        "known": key.known,
                        "recorded": key.recorded,
                    }
                    for key in host.keys
                ],
            }
            for host in hosts
        ],
    }
