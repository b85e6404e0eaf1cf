"""`scripts/reference`: the page on the starter rules, written from the rules themselves."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from remedy.load.repository import Repository, load_repository, starter_rules
from remedy.model import Params, Platform, RowPromise, Rule, Script, Signal, VerifyLater
from remedy.render.yaml_text import flow_text
from remedy.text import duration_text

__all__ = ["PAGE", "main", "page_text"]

PAGE = Path(__file__).parents[1] / "docs" / "starter-rules.md"

_PARAMETERS: Mapping[str, tuple[str, str]] = {
    "certificate-expiring.days": ("days", "a certificate with fewer left is due"),
    "certificate-expiring.share": ("of its lifetime", "and only when less than this is left of it"),
    "expiring-password.days": ("days", "an account is told from this many days before"),
    "expiring-password.own_days": ("days", "the same for the account that remedy signs in with"),
    "expiring-password.forget_days": ("days", "an account whose password expired longer ago is not in use"),
    "low-disk.below_percent": (
        "percent",
        "a volume with a smaller free share, of what users may write, is nearly full",
    ),
    "low-disk.below_gib": ("GiB", "and only when it also has less free than this"),
    "low-disk.min_age_days": ("days", "the fix removes nothing that is younger"),
    "low-inodes.below_percent": ("percent", "a volume with a smaller share of free inodes is running out"),
    "low-inodes.below_free": ("inodes", "and only when it also has fewer free than this"),
    "service-stopped.steady_s": ("seconds", "it is mended once it has run for so long without a break"),
    "stale-reboot.max_uptime_days": ("days", "a machine that is up for longer is due, whatever it says"),
    "time-drift.max_offset_s": ("seconds", "a clock that is further off, either way, is wrong"),
    "time-drift.max_since_sync_h": ("hours", "a clock that was compared longer ago is not kept right"),
    "certificate.paths": ("", "the files and patterns (Windows: stores) to read; none means the well-known places"),
    "disk.mounts": ("", "the mount points (Windows: drives) to look at; none means every local volume"),
    "inodes.mounts": ("", "the mount points to look at; none means every local volume"),
    "service.names": ("", "the services to look at; none means that nothing is looked at"),
    "service.grace_s": ("seconds", "one that stopped a shorter time ago may be in an update or a restart"),
}
"""Unit and meaning of each parameter, by rule or signal; one that is missing or too many is an error."""

_PLATFORMS: Mapping[Platform, str] = {Platform.LINUX: "Linux", Platform.WINDOWS: "Windows"}
_ROWS: Mapping[RowPromise, str] = {
    RowPromise.ONE: "one row per host",
    RowPromise.SOME: "at least one row",
    RowPromise.ANY: "any number of rows, also none",
}
_ALL_PERCENT = 100
_LISTED = re.compile(r" {2,}(\S.*?) {2,}(\S.*)")
_HEAD = """\
# The starter rules, one by one

<!-- Written by scripts/reference from rules/; change those, not this page. -->

What `remedy scan` judges where no rules are named, and what `remedy init` copies, with `mode: observe`.
`remedy rules show RULE` prints a rule with every default, and [rules.md](rules.md) says what each key means.
What stands here of a script is the comment at its head.
Nothing of the Windows side ever ran on Windows ([windows.md](windows.md)).
"""


def main() -> int:
    """Write the page, or with --check say whether it is what would be written."""
    text = page_text(load_repository(starter_rules()))
    shown = PAGE.relative_to(Path.cwd())
    if sys.argv[1:] not in ([], ["--check"]):
        sys.stderr.write("usage: scripts/reference [--check]\n")
        return 1
    if not sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {shown}\n")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{shown} is not what the rules say; run scripts/reference\n")
    return 1


def page_text(repository: Repository) -> str:
    """
    Return the page.

    Raises:
        ValueError: a parameter is not described above, or one is that does not exist.
    """
    owners: dict[str, Params] = {name: rule.params for name, rule in repository.rules.items()}
    owners |= {name: signal.params for name, signal in repository.signals.items()}
    there = {f"{owner}.{name}" for owner, params in owners.items() for name in params}
    if there != _PARAMETERS.keys():
        wrong = ", ".join(sorted(there ^ _PARAMETERS.keys()))
        raise ValueError(f"scripts/starter_rules_page.py: describe each parameter, and no other: {wrong}")
    lines = [_HEAD, "| rule | what is wrong | watches | risk | fix |", "| --- | --- | --- | --- | --- |"]
    lines += [_row(rule) for rule in repository.rules.values()]
    for rule in repository.rules.values():
        lines += ["", *_rule_lines(rule)]
    lines += ["", "## Signals", "", "What the rules watch; rules of your own may watch them too."]
    for signal in repository.signals.values():
        lines += ["", *_signal_lines(signal)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _row(rule: Rule) -> str:
    fix = ", ".join(_PLATFORMS[platform] for platform in rule.fix) or "only watched"
    cells = (f"[{rule.name}](#{rule.name})", rule.title, f"[{rule.signal}](#{rule.signal})", rule.risk.value, fix)
    return f"| {' | '.join(cells)} |"


def _rule_lines(rule: Rule) -> Iterator[str]:
    yield f"## {rule.name}"
    yield ""
    yield f"{rule.title}."
    yield rule.why
    yield ""
    yield f"It watches [{rule.signal}](#{rule.signal}) and matches a row when"
    yield ""
    yield f"    {rule.when.text}"
    yield ""
    yield from _sentences(_comments(rule))
    yield ""
    yield from _parameters(rule.name, rule.params)
    for platform, script in rule.fix.items():
        yield from _script_lines("The fix", platform, script)
    if rule.fix:
        yield f"Risk `{rule.risk.value}`; {_verified(rule)}"
        yield f"An incident is left alone for {duration_text(rule.limits.cooldown_s)} after an attempt."
        yield (
            f"After {rule.limits.attempts} attempts within {duration_text(rule.limits.attempts_within_s)} it is"
            " quarantined, for a person."
        )
        yield _fuse(rule)
    else:
        yield "There is no fix."


def _fuse(rule: Rule) -> str:
    limit = rule.limits.matched
    if limit.percent == _ALL_PERCENT:
        return "It has no fuse: however many hosts match, they are served."
    parts = [*([str(limit.count)] if limit.count else []), *([f"{limit.percent:g} %"] if limit.percent else [])]
    larger = ", whichever is more" if len(parts) > 1 else ""
    return f"The fuse: when more hosts match than {' or '.join(parts)} of those judged{larger}, nothing is fixed."


def _verified(rule: Rule) -> str:
    if isinstance(rule.verify, VerifyLater):
        return "the next scan says whether it helped."
    verify = rule.verify
    settle, within = duration_text(verify.settle_s), duration_text(verify.within_s)
    return f"it helped when, from {settle} on and within {within}, `{verify.until.text}`."


def _signal_lines(signal: Signal) -> Iterator[str]:
    yield f"### {signal.name}"
    yield ""
    yield f"{signal.title}: {_ROWS[signal.rows]}{f', by {_code(signal.key)}' if signal.key else ''}."
    yield f"A reading is good for {duration_text(signal.max_age_s)}."
    yield ""
    yield "| column | type | unit |"
    yield "| --- | --- | --- |"
    for name, column in signal.columns.items():
        yield f"| `{name}` | {column.type.value} | {column.unit} |"
    yield ""
    yield from _parameters(signal.name, signal.params)
    for platform, script in signal.collect.items():
        yield from _script_lines("The collector", platform, script)
    absent = [words for platform, words in _PLATFORMS.items() if platform not in signal.collect]
    if absent:
        yield f"On {' and '.join(absent)} it is not applicable."


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _parameters(owner: str, params: Params) -> Iterator[str]:
    if not params:
        return
    yield "| parameter | default | unit | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, value in params.items():
        unit, meaning = _PARAMETERS[f"{owner}.{name}"]
        yield f"| `{name}` | {flow_text(value)} | {unit} | {meaning} |"
    yield ""


def _script_lines(what: str, platform: Platform, script: Script) -> Iterator[str]:
    become = ", as root" if script.become_root else ""
    name = script.path.rpartition("/")[2]
    yield f"**{what} on {_PLATFORMS[platform]}** (`{name}`{become}, at most {duration_text(script.timeout_s)})"
    yield ""
    yield from _sentences(_header(script.body.decode("utf-8")))
    yield ""


def _header(body: str) -> list[str]:
    """Return the lines of the comment at the head of a script, without the shebang."""
    lines = body.splitlines()
    lines = lines[1:] if lines[0].startswith("#!") else lines
    count = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line[1:].removeprefix(" ") for line in lines[:count]]


def _comments(rule: Rule) -> list[str]:
    """Return the comments of a rule.yaml that have lines of their own."""
    lines = (starter_rules() / rule.name / "rule.yaml").read_text(encoding="utf-8").splitlines()
    return [line[1:].strip() for line in lines if line.startswith("#")]


def _sentences(lines: Sequence[str]) -> Iterator[str]:
    """Yield comment lines as Markdown: a sentence a line, aligned columns as a list."""
    paragraph: list[str] = []
    items = False
    for line in [*lines, ""]:
        listed = _LISTED.fullmatch(line)
        if listed is None and line:
            if items:
                yield ""
            items = False
            paragraph.append(line)
            continue
        if paragraph:
            yield from re.split(r"(?<=[.?]) (?=[A-Z`]|[a-z_]+:)", _escaped(" ".join(paragraph)))
            paragraph = []
            if listed:
                yield ""
        if listed:
            yield f"- {_escaped(listed[1])}: {_escaped(listed[2])}"
            items = True
        elif line is not lines[-1] and lines:
            yield ""
            items = False


def _escaped(text: str) -> str:
    """Return text in which Markdown sees no emphasis, link or tag; what stands in backticks stays."""
    parts = text.split("`")
    return "`".join(re.sub(r"([*<>\[\]])", r"\\\1", part) if not at % 2 else part for at, part in enumerate(parts))


if __name__ == "__main__":
    sys.exit(main())
