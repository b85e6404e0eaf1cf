"""`remedy why`: what the rules say of one host now, conjunct by conjunct; or what is remembered of it."""

from remedy.cli.caller import Caller, caller_now, utc_now
from remedy.cli.commands.scan import collect_now, judge_all
from remedy.cli.composition import Loaded, Options, load, make_runners, read_config, secrets_of
from remedy.cli.console import Talk
from remedy.cli.explained import explain_host, fresh_readings
from remedy.cli.param_origins import param_origins
from remedy.cli.proposing import plan_now
from remedy.cli.stopping import NOTHING_CHANGED, stopping
from remedy.cli.stored import AtHand, answer_of, at_hand, meant_host
from remedy.errors import NothingNamed, UsageError
from remedy.host_names import hosts_meant
from remedy.limits import Limit
from remedy.load.inventory import Inventory
from remedy.render.scan import coverage_text
from remedy.render.why import why_json, why_text
from remedy.render.why_stored import stored_json, stored_text
from remedy.summary import ExitCode, HostEnd, HostEnding, Summary, coverage, exit_code

__all__ = ["run_why"]


def run_why(options: Options, host: str, *, stored: bool = False) -> int:
    """Explain one host, and return the exit code of a scan of it; `stored` contacts nobody."""
    talk = Talk(as_json=options.output == "json")
    caller = caller_now()
    return _why_stored(options, caller, talk, host) if stored else _why_now(options, caller, talk, host)


# What is stored


def _why_stored(options: Options, caller: Caller, talk: Talk, asked: str) -> int:
    hand = at_hand(options, caller)
    talk.say(f"state {hand.state.path} ({hand.named_by}); nobody was contacted")
    is_known = _say_stored(hand, options, talk, asked)
    return int(ExitCode.DONE if is_known else ExitCode.INCOMPLETE)


def _say_stored(hand: AtHand, options: Options, talk: Talk, asked: str, *, end: HostEnd | None = None) -> bool:
    """Show what is remembered of a host, after why it was not reached; say whether anything is."""
    answer = answer_of(hand, asked, rule=next(iter(options.rule), None), now=utc_now())
    if talk.as_json:
        reached = {"ending": end.ending.value, "reason": end.reason} if end is not None else None
        talk.result_json({**stored_json(answer), "reached": reached})
        return not answer.remembered.is_empty
    preface = [f"{end.host} was not reached just now ({end.ending.value}: {end.reason})"] if end is not None else []
    talk.result(stored_text(answer, preface=preface))
    return not answer.remembered.is_empty


# What is so now


def _why_now(options: Options, caller: Caller, talk: Talk, asked: str) -> int:
    loaded = load(options, caller, talk, guess=True, meant=_meant)
    host = _one_host(asked, loaded)
    rules_line, state_line, *brakes = loaded.brief
    said = f"; {host}, asked for as {asked}" if host != asked else ""
    talk.say(rules_line, f"{state_line}{said}", *brakes)
    runners = make_runners(options, caller, loaded.inventory, secrets=secrets_of(loaded, caller))
    with stopping(ended=NOTHING_CHANGED) as stop:
        collection = collect_now(loaded, runners, talk, stop)
    judgements = judge_all(loaded, collection.readings, now=collection.collected_at)
    seen = coverage(collection.host_ends, judgements)
    summary = Summary(coverage=seen, host_ends=collection.host_ends, interrupted=collection.interrupted)
    code = int(exit_code(summary, max_unseen=Limit(count=0), detailed=False))
    unreached = [end for end in collection.host_ends if end.ending is not HostEnding.COLLECTED]
    if unreached and loaded.state.exists() and not collection.interrupted:
        hand = AtHand(
            state=loaded.state,
            named_by="",
            config=read_config(options, caller),
            repository=loaded.repository,
            inventory=loaded.inventory,
            notes=(),
        )
        _say_stored(hand, options, talk, host, end=unreached[0])
        return code
    plan = plan_now(loaded, collection, judgements)
    machine = loaded.inventory.hosts[host]
    readings = fresh_readings(loaded, collection, host)
    signals = loaded.repository.signals
    now = collection.collected_at
    origins = param_origins(
        [scope.rule for scope in loaded.selection.scopes], machine, read_config(options, caller), caller.directory
    )
    explained = explain_host(loaded, machine, collection, judgements, held=plan.held, origins=origins)
    if talk.as_json:
        talk.result_json(why_json(machine, explained, readings, signals=signals, now=now))
    else:
        talk.result(why_text(machine, explained, readings, signals=signals, now=now))
        talk.result([f"{host} is busy: {reason}" for reason in plan.busy.values()])
        talk.result(coverage_text(seen, collection.host_ends))
    return code


def _meant(asked: str, inventory: Inventory) -> str:
    """Return the host that is meant, or what was asked for: as a pattern it is somebody else's to refuse."""
    if asked in inventory.groups:
        return asked
    addresses = {name: each.connection.address or "" for name, each in inventory.hosts.items()}
    found = hosts_meant(asked, inventory.hosts, addresses=addresses)
    return meant_host(asked, (), inventory) if found else asked


def _one_host(asked: str, loaded: Loaded) -> str:
    """
    Return the host that was selected.

    Raises:
        UsageError: a pattern that names several hosts.
        NothingNamed: a pattern that names one host, and is no name.
    """
    host = _meant(asked, loaded.inventory)
    if host in loaded.inventory.hosts:
        return host
    if len(loaded.selection.hosts) != 1:
        names = ", ".join(loaded.selection.hosts[:5])
        raise UsageError(f"why explains one host; {asked} names {len(loaded.selection.hosts)}, such as {names}")
    raise NothingNamed(f"{asked} is no host's name; {loaded.selection.hosts[0]}?")
