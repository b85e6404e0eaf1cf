"""`remedy enroll`: which keys hosts show, and the recording of those that somebody vouches for."""

import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from remedy.cli.caller import Caller, caller_now, utc_now
from remedy.cli.composition import Options, read_config
from remedy.cli.console import Talk
from remedy.cli.hosts_only import load_hosts_only
from remedy.cli.second_source import SecondSource, second_source
from remedy.errors import NothingNamed, Refused, RemedyError, Unreachable, UsageError
from remedy.load.config import mistyped_variables
from remedy.load.inventory import Inventory, select
from remedy.model import Host, Transport
from remedy.render.enroll import (
    EnrolledHost,
    EnrollEnd,
    KeyShown,
    enroll_json,
    enroll_lines,
    enroll_summary,
    question_lines,
)
from remedy.run.collect import target_of
from remedy.summary import ExitCode
from remedy.text import counted
from remedy_runners.hostkeys import HostKey, fingerprint
from remedy_runners.hostkeys.offers import Looked
from remedy_runners.hostkeys.recording import record_keys
from remedy_runners.ssh import SSHRunner

__all__ = ["run_enroll"]

_LOOKS_AT_ONCE = 32
_NOBODY = "nobody was contacted"
# Which exit code counts when several apply. Source: docs/holds.md, exit codes.
_WORST_FIRST = (ExitCode.COULD_NOT_RUN, ExitCode.BAD, ExitCode.INCOMPLETE)


def run_enroll(options: Options, hosts: Sequence[str], *, source: str | None, fingerprints: Sequence[str]) -> int:
    """Look at the hosts, all at once; then record, one after another, what is confirmed."""
    caller = caller_now()
    talk = Talk(as_json=options.output == "json")
    chosen = _chosen(options, hosts, caller, talk)
    if fingerprints and len(chosen) != 1:
        raise UsageError(f"--fingerprint is of one host, and {len(chosen)} are named; {_NOBODY}")
    second = second_source(source, fingerprints, talk)
    runner = SSHRunner(
        home=caller.home,
        user=caller.user,
        environment=caller.environment,
        ssh_config_files=[Path(options.ssh_config)] if options.ssh_config else None,
    )
    looks = _look_at_all(chosen, runner, talk)
    for warning in runner.warnings:
        talk.say(f"warning: {warning}")
    enrolling = _Enrolling(caller=caller, talk=talk, source=second)
    done = []
    for host in chosen:
        look = looks[host.name]
        done.append(look if isinstance(look, EnrolledHost) else enrolling.enroll(host, look))
    if talk.as_json:
        talk.result_json(enroll_json(done))
    else:
        talk.result(enroll_lines(done))
    talk.say(enroll_summary(done))
    codes = {host.end.exit_code for host in done}
    return int(next((code for code in _WORST_FIRST if code in codes), ExitCode.DONE))


def _chosen(options: Options, hosts: Sequence[str], caller: Caller, talk: Talk) -> list[Host]:
    if bool(hosts) == (options.limit is not None):
        raise UsageError(f"name hosts, or a pattern with --limit (all of them: -l all); {_NOBODY}")
    config = read_config(options, caller)
    for mistake in mistyped_variables(caller.environment):
        talk.say(f"warning: {mistake}")
    inventory, _ = load_hosts_only(config, caller.directory)
    for warning in inventory.warnings:
        talk.say(f"warning: {warning}")
    names = _names(options, hosts, inventory)
    if not names:
        raise NothingNamed(f"no host is left; {_NOBODY}")
    return [inventory.hosts[name] for name in names]


def _names(options: Options, hosts: Sequence[str], inventory: Inventory) -> tuple[str, ...]:
    if options.limit is not None:
        return select(options.limit, inventory, what="--limit")
    return tuple(dict.fromkeys(name for host in hosts for name in select(host, inventory, what="HOST")))


def _look_at_all(hosts: Sequence[Host], runner: SSHRunner, talk: Talk) -> dict[str, Looked | EnrolledHost]:
    """Look at all hosts; each gets a look, or how it ended without one."""
    talk.progress(f"looking at the keys of {counted(len(hosts), 'host')} …")
    pool = ThreadPoolExecutor(max_workers=_LOOKS_AT_ONCE)
    try:
        return dict(
            zip((host.name for host in hosts), pool.map(lambda host: _look_at(host, runner), hosts), strict=True)
        )
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _look_at(host: Host, runner: SSHRunner) -> Looked | EnrolledHost:
    if host.transport is not Transport.SSH and not host.connection.barred:
        what = "this machine" if host.transport is Transport.LOCAL else "reached over WinRM"
        return EnrolledHost(host=host.name, end=EnrollEnd.NOT_SSH, reason=f"{what}: there is no host key to record")
    try:
        return runner.look(target_of(host), now_s=int(utc_now().timestamp()))
    except Unreachable as exc:
        return EnrolledHost(host=host.name, end=EnrollEnd.UNREACHABLE, reason=str(exc))
    except Refused as exc:
        return EnrolledHost(host=host.name, end=EnrollEnd.REFUSED, reason=str(exc))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Enrolling:
    """The way of one host after another from what it shows to what is recorded."""

    caller: Caller
    talk: Talk
    source: SecondSource | None

    def enroll(self, host: Host, look: Looked) -> EnrolledHost:
        """Return how the host ended; keys are recorded only at the very end, when nothing speaks against it."""
        known = {line.key for line in look.trust.keys}
        keys = tuple(
            KeyShown(kind=key.kind, fingerprint=fingerprint(key.blob), known=key in known) for key in look.offered.keys
        )
        seen = EnrolledHost(
            host=host.name,
            end=EnrollEnd.SHOWN,
            where=look.where,
            name=look.trust.name,
            file=str(look.files[0]) if look.files else "",
            keys=keys,
        )
        against = _known_against(seen, look) or self._said_against(seen, look)
        if against is not None:
            return against
        if look.offered.has_certificate:
            return replace(seen, end=EnrollEnd.KNOWN, reason="known by its certificate; no key needs to be recorded")
        new = [key for key in look.offered.keys if key not in known]
        if not new:
            return replace(seen, end=EnrollEnd.KNOWN)
        if not look.files:
            cure = "ssh_config names no known_hosts file; give the host one (remedy_known_hosts)"
            return replace(seen, end=EnrollEnd.REFUSED, reason=cure)
        return self._confirmed(seen, new, look)

    def _said_against(self, seen: EnrolledHost, look: Looked) -> EnrolledHost | None:
        if self.source is None:
            return None
        said = self.source.said_of(look.trust.name)
        revoked = [str(key) for key in look.offered.keys if fingerprint(key.blob) in said.revoked]
        if revoked:
            reason = f"{self.source.named} says that nobody may trust {', '.join(revoked)}"
            return replace(seen, end=EnrollEnd.REVOKED, reason=f"THE HOST KEY IS REVOKED: {reason}")
        if said.disagrees(look.offered.keys):
            shown = ", ".join(str(key) for key in look.offered.keys)
            wanted = ", ".join(f"{kind or 'a key'} {each}" for kind, each in said.keys)
            reason = f"it shows {shown}, and {self.source.named} says {wanted}. Nothing was recorded"
            return replace(seen, end=EnrollEnd.MISMATCH, reason=f"THE HOST KEY IS NOT THE ONE EXPECTED: {reason}")
        return None

    def _confirmed(self, seen: EnrolledHost, new: Sequence[HostKey], look: Looked) -> EnrolledHost:
        """Record what somebody vouches for."""
        if self.source is not None:
            said = self.source.said_of(look.trust.name)
            vouched = [key for key in new if said.agrees(key)]
            if not vouched:
                return replace(
                    seen, reason=f"{self.source.named} has no key of {look.trust.name} that is not known yet"
                )
            return self._recorded(seen, vouched, look, by=self.source.by)
        if not self.caller.is_terminal:
            return replace(
                seen, reason="not confirmed: there is no terminal to ask on; give --from FILE or --fingerprint SHA256:…"
            )
        self.talk.say(*question_lines(seen))
        if not self.talk.ask(f"Record {counted(len(new), 'key')} of {seen.host} in {seen.file}?"):
            return replace(seen, end=EnrollEnd.DECLINED, reason="declined; nothing was recorded")
        return self._recorded(seen, new, look, by="on a terminal")

    def _recorded(self, seen: EnrolledHost, keys: Sequence[HostKey], look: Looked, *, by: str) -> EnrolledHost:
        comment = f"enrolled {utc_now():%Y-%m-%dT%H:%MZ} {by}"
        try:
            written = record_keys(look.files[0], look.trust.name, keys, comment=comment, home=self.caller.home)
        except Refused as exc:
            return replace(seen, end=EnrollEnd.CHANGED, reason=str(exc))
        except RemedyError as exc:
            return replace(seen, end=EnrollEnd.UNWRITTEN, reason=str(exc))
        now = {fingerprint(key.blob) for key in written}
        there = {fingerprint(key.blob) for key in keys}
        shown = tuple(
            replace(key, known=key.known or key.fingerprint in there, recorded=key.fingerprint in now)
            for key in seen.keys
        )
        return replace(seen, end=EnrollEnd.RECORDED if written else EnrollEnd.KNOWN, keys=shown)


def _known_against(seen: EnrolledHost, look: Looked) -> EnrolledHost | None:
    """Return how a host ends of which something is known that does not fit; None if nothing speaks against it."""
    trust, offered = look.trust, look.offered
    revoked = next((line for line in trust.revoked if line.key in offered.keys), None)
    if revoked is not None:
        reason = f"THE HOST KEY IS REVOKED: {revoked.place} says that nobody may trust {revoked.key}"
        return replace(seen, end=EnrollEnd.REVOKED, reason=reason)
    if offered.refusal is not None:
        return replace(seen, end=EnrollEnd.DISTRUSTED, reason=str(offered.refusal))
    shown = {key.kind: key for key in offered.keys}
    known = {line.key for line in trust.keys}
    same = known & set(offered.keys)
    other = [line for line in trust.keys if line.key.kind in shown and shown[line.key.kind] not in known]
    if not trust.keys or (same and not other):
        return None
    places = ", ".join(f"{line.place} has {line.key}" for line in (other or trust.keys))
    files = dict.fromkeys(line.place.rpartition(":")[0] for line in trust.keys)
    forget = " && ".join(f"ssh-keygen -R '{trust.name}' -f {shlex.quote(file)}" for file in files)
    reason = (
        f"THE HOST KEY HAS CHANGED: it shows {', '.join(str(key) for key in offered.keys)}, and {places}. "
        "Somebody may be in between, or the host was set up anew. Nothing was recorded. "
        f"Ask the host's owner for the fingerprint; if the new one is right: {forget} && remedy enroll {seen.host}"
    )
    return replace(seen, end=EnrollEnd.CHANGED, reason=reason)
