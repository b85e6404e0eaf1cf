"""
The words of remedy as values: hosts, signals, rules, findings, outcomes.

Everything here is frozen and knows no clock, disk or network. docs/glossary.md
has the same words in sentences.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from remedy.errors import Place
from remedy.limits import Limit, WaveShare
from remedy.port import ScriptValue, Shell, WinRM
from remedy.schedule import ChangeWindow
from remedy.secrets import SecretReference
from remedy.text import number_text

__all__ = [
    "KEY_ROWS_MAX",
    "Clause",
    "Column",
    "ColumnType",
    "Condition",
    "Connection",
    "Execution",
    "Exemption",
    "Finding",
    "Hold",
    "Host",
    "Key",
    "Mode",
    "Outcome",
    "OutcomeClass",
    "ParamValue",
    "Params",
    "Platform",
    "Predicate",
    "Reading",
    "ReadingStatus",
    "Risk",
    "Row",
    "RowPromise",
    "Rule",
    "RuleLimits",
    "RuleRollout",
    "Scope",
    "Script",
    "Signal",
    "Skip",
    "Transport",
    "Value",
    "Verdict",
    "VerifyLater",
    "VerifyUntil",
    "key_text",
    "script_value",
    "value_text",
]

KEY_ROWS_MAX = 10
"""More matching rows of one rule on one host are a broken sensor (hold `too_many_rows`)."""


Value = str | float | bool | None
"""A typed value of a column; None means that it could not be read, never zero or false."""

Row = Mapping[str, Value]
ParamValue = str | float | bool | tuple[str, ...] | SecretReference
Params = Mapping[str, ParamValue]
Key = tuple[tuple[str, Value], ...]
"""The key columns of a row with their values, in the order the signal declares them."""


class Platform(StrEnum):
    """What kind of machine a host is; chooses the script."""

    LINUX = "linux"
    WINDOWS = "windows"


class Transport(StrEnum):
    """How a host is reached."""

    SSH = "ssh"
    WINRM = "winrm"
    LOCAL = "local"


class ColumnType(StrEnum):
    """The type of a column or parameter."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"


class RowPromise(StrEnum):
    """How many rows a complete reading has; fewer than promised is a failed reading."""

    ONE = "one"
    SOME = "some"
    ANY = "any"


class Mode(StrEnum):
    """Whether a rule only watches or also mends."""

    OBSERVE = "observe"
    FIX = "fix"


class Risk(StrEnum):
    """How much a fix may hurt when it goes wrong; rules are carried out in this order."""

    SAFE = "safe"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"

    @property
    def rank(self) -> int:
        """The order in which a plan carries rules out: safe ones first."""
        return (Risk.SAFE, Risk.DISRUPTIVE, Risk.DESTRUCTIVE).index(self)


class ReadingStatus(StrEnum):
    """What one collector's run on one host came to."""

    OK = "ok"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    NOT_APPLICABLE = "not_applicable"


class Verdict(StrEnum):
    """What a rule says of a row, and of a host."""

    MATCH = "match"
    HEALTHY = "healthy"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


class Hold(StrEnum):
    """Why a finding is not executed."""

    EXEMPT = "exempt"
    OBSERVE_ONLY = "observe_only"
    COOLING_DOWN = "cooling_down"
    QUARANTINED = "quarantined"
    PAUSED = "paused"
    OUTSIDE_WINDOW = "outside_window"
    PROTECTED = "protected"
    NO_FIX_FOR_PLATFORM = "no_fix_for_platform"
    TOO_MANY_ROWS = "too_many_rows"


class OutcomeClass(StrEnum):
    """What an outcome counts as."""

    GOOD = "good"
    BAD = "bad"
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"


class Outcome(StrEnum):
    """How an execution ended, after verification; every execution of a plan has exactly one."""

    FIXED = "fixed"
    DONE = "done"
    NEEDS_REBOOT = "needs_reboot"
    NOT_FIXED = "not_fixed"
    UNVERIFIED = "unverified"
    FAILED = "failed"
    LOST = "lost"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    SKIPPED = "skipped"

    @property
    def outcome_class(self) -> OutcomeClass:
        """The class that limits and exit codes count it under."""
        return _OUTCOME_CLASSES[self]


_OUTCOME_CLASSES: Mapping[Outcome, OutcomeClass] = {
    Outcome.FIXED: OutcomeClass.GOOD,
    Outcome.DONE: OutcomeClass.GOOD,
    Outcome.NEEDS_REBOOT: OutcomeClass.GOOD,
    Outcome.NOT_FIXED: OutcomeClass.BAD,
    Outcome.UNVERIFIED: OutcomeClass.BAD,
    Outcome.FAILED: OutcomeClass.BAD,
    Outcome.LOST: OutcomeClass.BAD,
    Outcome.REFUSED: OutcomeClass.BAD,
    Outcome.UNREACHABLE: OutcomeClass.UNREACHABLE,
    Outcome.SKIPPED: OutcomeClass.SKIPPED,
}


class Skip(StrEnum):
    """Why an execution was not attempted (outcome `skipped`)."""

    HEALED = "healed"
    HALTED = "halted"
    HOST_BAD = "host_bad"
    HOST_BUSY = "host_busy"
    HOST_HOLD = "host_hold"
    ONE_DISRUPTIVE = "one_disruptive"
    FUSE = "fuse"
    STOPPED = "stopped"
    RULE_BUSY = "rule_busy"
    PLAN_EXPIRED = "plan_expired"
    NOT_SEEN = "not_seen"
    COOLING_DOWN = "cooling_down"
    QUARANTINED = "quarantined"
    PAUSED = "paused"
    BREAKER = "breaker"
    INTERRUPTED = "interrupted"
    EXEMPT = "exempt"
    FROZEN = "frozen"
    OUTSIDE_WINDOW = "outside_window"
    PROTECTED = "protected"
    BUDGET = "budget"
    ALREADY_STARTED = "already_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """
    How the inventory says a host is reached; what it leaves open, ssh_config decides.

    `password` is a reference (`env:NAME`, `file:PATH`), never a secret. `barred`
    is a reason, with its cure, why this host must be refused before any contact.
    `winrm` is None for a host over SSH; `shell` is what reads its payloads, over either.
    """

    address: str | None = None
    port: int | None = None
    user: str | None = None
    identity_file: str | None = None
    password: str | None = None
    known_hosts: str | None = None
    shell: Shell = Shell.SH
    winrm: WinRM | None = None
    barred: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine we can reach; its name is the inventory's, never one that it reports."""

    name: str
    platform: Platform = Platform.LINUX
    transport: Transport = Transport.SSH
    groups: tuple[str, ...] = ()
    connection: Connection = field(default_factory=Connection)
    params: Mapping[str, Params] = field(default_factory=dict)
    """Overrides by the name of a rule or signal; already typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script of a rule or signal for one platform, read and hashed once."""

    path: str
    body: bytes
    sha256: str
    timeout_s: int
    become_root: bool = False
    needs_reboot_codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a signal: its type and, for numbers, its unit."""

    type: ColumnType
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A typed table of readings, with a collector for each platform."""

    name: str
    title: str
    key: tuple[str, ...]
    rows: RowPromise
    columns: Mapping[str, Column]
    params: Params
    collect: Mapping[Platform, Script]
    max_age_s: int
    digest: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """
    One conjunct of a condition, or a part of one, decided on one row.

    `values` are the columns and parameters it read, in order of appearance. One that
    is itself made of others has them in `parts`, and in `word` what joins them: `and`,
    `or`, or `not` before a single one.
    """

    text: str
    verdict: bool | None
    values: tuple[tuple[str, ParamValue | None], ...]
    word: str = ""
    parts: tuple["Clause", ...] = ()


class Predicate(Protocol):
    """A condition bound to parameters; true, false, or None for unknown."""

    def __call__(self, row: Row, others: Mapping[str, Row | None], /) -> bool | None:
        """Decide one row; `others` has the one row of each other signal, None where there is none."""


class Condition(Protocol):
    """A checked condition: its text, the other signals it reads, its meaning."""

    @property
    def text(self) -> str:
        """The condition as it was written."""

    @property
    def other_signals(self) -> tuple[str, ...]:
        """Names of the other signals it reads, sorted."""

    def bind(self, params: Params, /) -> Predicate:
        """Return the predicate for these parameter values."""

    def explain(self, params: Params, row: Row, others: Mapping[str, Row | None], /) -> tuple[Clause, ...]:
        """Return the conjuncts with what each of them read and decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """
    Hosts (and rows) that a rule leaves alone, why, and through which day (UTC).

    A row is exempt unless `where` is false: unknown exempts. No `until` is for ever.
    """

    hosts: str
    where: Condition | None
    reason: str
    until: date | None
    hosts_place: Place = field(default_factory=lambda: Place(file=""))

    def expired(self, now: datetime) -> bool:
        """Say whether the exemption's last day (UTC) is over."""
        return self.until is not None and now.date() > self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyLater:
    """The fix's effect shows later; the next scan decides (outcome `done`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyUntil:
    """After `settle_s` the row is read again until `until` is true, at the longest for `within_s`."""

    until: Condition
    settle_s: int
    within_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLimits:
    """Cooldown and attempts per incident; `matched` is the fuse over judged hosts."""

    cooldown_s: int
    attempts: int
    attempts_within_s: int
    matched: Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRollout:
    """How carefully a fix may spread; limits count distinct hosts."""

    waves: tuple[WaveShare, ...]
    soak_s: int
    concurrency: int
    max_bad: Limit
    max_unreachable: Limit
    seed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    When a condition over a signal's row holds, a fix applies, under limits, spread by a rollout.

    `resolved` is what its digest is taken over: all it means, as canonical JSON.
    """

    name: str
    title: str
    why: str
    owner: str
    tags: tuple[str, ...]
    mode: Mode
    hosts: str
    hosts_place: Place
    signal: str
    params: Params
    when: Condition
    exempt: tuple[Exemption, ...]
    fix: Mapping[Platform, Script]
    risk: Risk
    verify: VerifyLater | VerifyUntil
    limits: RuleLimits
    rollout: RuleRollout
    digest: str
    place: Place
    change_windows: tuple[ChangeWindow, ...] = ()
    resolved: str = ""

    def params_for(self, host: Host) -> Params:
        """Return the rule's parameters with the host's overrides merged in, one by one."""
        return _merged(self.params, host.params.get(self.name))


def _merged(defaults: Params, overrides: Params | None) -> Params:
    return {**defaults, **overrides} if overrides else defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """A rule with the selected hosts it looks at and, for each exemption, the names it covers."""

    rule: Rule
    hosts: tuple[Host, ...]
    exempt_names: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one collector said about one host: its rows, or why there are none; and when (UTC)."""

    host: str
    signal: str
    observed_at: datetime
    status: ReadingStatus
    reason: str = ""
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A match of a rule on a host, with the row that proves it."""

    rule: str
    host: str
    key: Key
    row: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fix of one finding on one host; its id comes from the plan."""

    id: str
    rule: str
    host: str
    key: Key
    row: Row
    params: Params
    script: str
    script_sha256: str
    timeout_s: int
    become_root: bool


def value_text(value: ParamValue | None) -> str:
    """
    Return a value as scripts read it: numbers shortest, `true`/`false`, lists one item a line.

    None gives '' (callers leave the variable unset). Of a secret it is the reference,
    which scripts do not get: `script_value`.
    """
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return number_text(value)
        case str():
            return value
        case SecretReference():
            return str(value)
        case _:
            return "\n".join(value)


def script_value(value: ParamValue) -> ScriptValue:
    """Return a parameter for a script's environment: as text, or where the runner finds it."""
    return value if isinstance(value, SecretReference) else value_text(value)


def key_text(key: Key) -> str:
    """Return the key as people read it, such as 'mount=/srv'; '' for signals with one row."""
    return " ".join(f"{name}={value_text(value)}" for name, value in key)
