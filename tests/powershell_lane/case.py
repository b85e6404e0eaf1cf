"""The words of the lane: what one process is asked for, what must come of it, and a case made of such."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from remedy.port import CollectorEnding, FixEnding
from remedy_runners.powershell.trailer import PowerShellLines, Trailer

if TYPE_CHECKING:
    from tests.powershell_lane.bench import Bench

__all__ = ["Case", "Check", "Damage", "Expected", "Heard", "Kind", "Run", "Wrong", "one", "shown"]

Kind = Literal["plain", "collector", "fix", "markers", "identity"]

SHOWN_MAX = 2_000
"""So many characters of a text are shown when a case fails."""


class Wrong(Exception):
    """A case cannot go on, for what came is not what it needs."""


def shown(value: object) -> str:
    """Return what a person needs to see a difference: of a long text its two ends, SHOWN_MAX characters in all."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= SHOWN_MAX:
        return text
    half = SHOWN_MAX // 2
    return f"{text[:half]}… ({len(text) - SHOWN_MAX} characters) …{text[-half:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What happens to a payload on its way."""

    text: str
    of: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    One process that is asked for.

    `plain` is the bootstrap with the literal part `before` and nothing of ours;
    the others go through the session. `way` is how it is started: by a shell, as
    sshd does, or directly. `outer` is added to the environment of the process.
    `columns` are a collector's. `ids` are those that markers are asked for.
    """

    script: bytes = b""
    kind: Kind = "fix"
    environment: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    deadline_s: int = 60
    execution_id: str = "e-1"
    ids: Sequence[str] = ()
    before: str = "@{a=1}"
    damage: Damage | None = None
    way: Literal["sh", "argv"] = "sh"
    outer: Mapping[str, str] = field(default_factory=dict)
    keeps_stdin_open: bool = False
    is_read: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What bytes must be like, in words; `of` returns what is wrong with them, '' when nothing is."""

    text: str
    of: Callable[[bytes], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    What must come of one process.

    `trailer` as `KIND CODE LAST`; None: none may come. `printed` is what the script
    prints on standard output, exactly. Each of `stderr` must be in standard error; with
    none of them it must be empty, unless `is_stderr_free`. `status` is that of the
    process, by default what the trailer says. `ending`, with `reason` in its
    words, is what the session must say where the trailer does not decide it.
    """

    trailer: str | None
    printed: bytes | Check | None = b""
    stderr: Sequence[str] = ()
    is_stderr_free: bool = False
    status: int | None = None
    ending: FixEnding | CollectorEnding | None = None
    reason: str = ""
    within_s: float = 45
    leaves: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One fact about a real PowerShell.

    `needs` names what must be there: `sh` (a POSIX system), `user` (not root).
    """

    group: str
    name: str
    act: "Callable[[Bench], None]"
    needs: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """What `--list` prints and `--only` looks into."""
        return f"{self.group}: {self.name}"


@dataclass(kw_only=True)
class Heard:
    """What came of one process, all of it, and what the session made of it."""

    run: Run
    nonce: str
    command: str
    header: bytes = b""
    sent_size: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    status: int | None = None
    duration_s: float = 0.0
    has_ended: bool = False
    is_open: bool = False
    left: tuple[str, ...] = ()
    answer: object = None
    error: str = ""

    @property
    def pieces(self) -> list[bytes | tuple[str, ...] | Trailer]:
        """Standard output as the reader takes it apart."""
        lines = PowerShellLines(self.nonce)
        return [*lines.feed(self.stdout), *filter(None, [lines.rest()])]

    @property
    def marks(self) -> list[str]:
        """What the payload said, each as one text."""
        return [" ".join(piece) for piece in self.pieces if isinstance(piece, tuple)]

    @property
    def trailer(self) -> str | None:
        """The trailer as `KIND CODE LAST`."""
        for piece in self.pieces:
            if isinstance(piece, Trailer):
                return f"{piece.kind} {piece.code} {'' if piece.last is None else piece.last}".strip()
        return None

    @property
    def has_started(self) -> bool:
        """Whether the payload said that the script starts."""
        return any(mark.startswith("started ") for mark in self.marks)

    @property
    def boot_id(self) -> str | None:
        """What `started` said."""
        said = [mark.partition(" ")[2] for mark in self.marks if mark.startswith("started ")]
        return said[0] if said else None

    @property
    def printed(self) -> bytes:
        """What the script printed: of a collector or fix only what came after `started`."""
        pieces = self.pieces
        if self.run.kind in ("collector", "fix"):
            begins = [at for at, piece in enumerate(pieces) if isinstance(piece, tuple) and piece[0] == "started"]
            pieces = pieces[begins[0] :] if begins else []
        return b"".join(piece for piece in pieces if isinstance(piece, bytes))

    def described(self) -> list[str]:
        """Return the lines that tell a person what ran and what came."""
        run = self.run
        lines = [
            f"{run.kind}, started through {run.way}, deadline {run.deadline_s} s",
            f"script       {shown(run.script)}",
            f"environment  {shown(dict(run.environment))}",
            f"stdin        {shown(self.header)} and {self.sent_size} bytes in all"
            + (f", damaged: {run.damage.text}" if run.damage else ""),
            f"command      {re.sub(r'[A-Za-z0-9+/=]{200,}', '…', self.command)}",
        ]
        for text, value in (("before", run.before if run.kind == "plain" else ""), ("outer", dict(run.outer))):
            if value:
                lines.append(f"{text:<12} {shown(value)}")
        lines += [
            f"stdout       {shown(self.stdout)}",
            f"stderr       {shown(self.stderr)}",
            f"read as      marks {shown(self.marks)}, trailer {self.trailer!r}",
            f"process      status {self.status} after {self.duration_s:.1f} s"
            + ("" if self.has_ended else ", and was still there")
            + (", output still open" if self.is_open else "")
            + (f", left behind: {', '.join(self.left)}" if self.left else ""),
        ]
        if self.answer is not None or self.error:
            lines.append(f"session      {self.error or shown(self.answer)}")
        return lines


def one(group: str, name: str, run: Run, expected: Expected, *, needs: Sequence[str] = ()) -> Case:
    """Return the case of a single process."""

    def act(bench: "Bench") -> None:
        bench.judge(bench.run(run), expected)

    return Case(group=group, name=name, act=act, needs=frozenset(needs))
