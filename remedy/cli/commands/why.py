"""`remedy why`: what the rules say of one host now, conjunct by conjunct."""

from remedy.cli.caller import caller_now
from remedy.cli.commands.scan import collect_now, judge_all
from remedy.cli.composition import Loaded, Options, load, make_runners
from remedy.cli.console import Talk
from remedy.cli.proposing import plan_now
from remedy.cli.stopping import stopping
from remedy.errors import NothingNamed, UsageError
from remedy.limits import Limit
from remedy.model import Rule
from remedy.render.scan import coverage_text
from remedy.render.why import why_json, why_text
from remedy.summary import Summary, coverage, exit_code
from remedy.text import nearest
from remedy.verdicts import by_host, only_fresh

__all__ = ["run_why"]


def run_why(options: Options, host: str) -> int:
    """Collect from one host and explain; return the exit code of a scan of it."""
    talk = Talk(as_json=options.output == "json")
    caller = caller_now()
    loaded = load(options, caller, talk, guess=True)
    _check_named(host, loaded)
    talk.say(*loaded.header)
    with stopping() as stop:
        collection = collect_now(loaded, make_runners(options, caller, loaded.inventory), talk, stop)
    judgements = judge_all(loaded, collection.readings, now=collection.collected_at)
    planned = plan_now(loaded, collection, judgements)
    held = planned.held
    fresh = only_fresh(collection.readings, loaded.repository.signals, now=collection.collected_at)
    readings = by_host(fresh).get(host, {})
    rules: list[Rule] = [scope.rule for scope in loaded.selection.scopes]
    machine = loaded.inventory.hosts[host]
    signals = loaded.repository.signals
    if talk.as_json:
        talk.result_json(why_json(machine, rules, judgements, readings, signals=signals, held=held))
    else:
        talk.result(why_text(machine, rules, judgements, readings, signals=signals, held=held))
        talk.result([f"{host} is busy: {reason}" for reason in planned.busy.values()])
        talk.result(coverage_text(coverage(collection.host_ends, judgements), collection.host_ends))
    summary = Summary(
        coverage=coverage(collection.host_ends, judgements),
        host_ends=collection.host_ends,
        interrupted=collection.interrupted,
    )
    return int(exit_code(summary, max_unseen=Limit(count=0), detailed=False))


def _check_named(host: str, loaded: Loaded) -> None:
    if host in loaded.inventory.hosts:
        return
    if len(loaded.selection.hosts) != 1:
        names = ", ".join(loaded.selection.hosts[:5])
        raise UsageError(f"why explains one host; {host} names {len(loaded.selection.hosts)}, such as {names}")
    near = nearest(host, loaded.inventory.hosts)
    raise NothingNamed(f"{host} is no host's name{f'; {near[0]}?' if near else ''}")
