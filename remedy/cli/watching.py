"""Watching an apply: a line for each end, wave and halt; how far it is, on a terminal."""

import threading
from typing import Any

from remedy.cli.console import Talk
from remedy.plan import Plan
from remedy.render.apply import end_lines
from remedy.render.tables import line, styled
from remedy.rollout import Halted, ReadAgain, Soak, WaveEnded, WaveStarted
from remedy.run.apply import ExecutionStarted, Progress, RuleStarted
from remedy.summary import ExecutionEnd
from remedy.text import counted, duration_text

__all__ = ["Watching"]


class Watching:
    """Turns progress into talk."""

    def __init__(self, talk: Talk, plan: Plan, log: Any) -> None:
        self._talk = talk
        self._log = log
        self._total = len(plan.executions)
        self._ended = 0
        self._running: set[str] = set()
        self._guard = threading.Lock()

    def see(self, progress: Progress) -> None:
        """Say what happened; called from several threads."""
        with self._guard:
            self._see(progress)

    def _see(self, progress: Progress) -> None:
        talk = self._talk
        match progress:
            case RuleStarted(rule_plan=rule_plan):
                self._log.info("rollout.started", rule=rule_plan.rule.name, hosts=len(rule_plan.spec.order))
                talk.say(line(styled(rule_plan.rule.name, "title"), rule_plan.rule.title))
            case WaveStarted(wave=wave, target=target):
                self._log.info("wave.started", wave=wave, target=target)
                talk.say(f"  wave {wave}: until {counted(target, 'host')} in all")
            case ExecutionStarted(execution=execution):
                self._log.info("execution.permitted", execution=execution.id, rule=execution.rule, host=execution.host)
                self._running.add(execution.host)
            case ExecutionEnd():
                execution, ended = progress.execution, progress.ended
                self._log.info(
                    "execution.ended", execution=execution.id, host=execution.host, outcome=ended.outcome.value
                )
                self._ended += 1
                self._running.discard(execution.host)
                talk.say(*end_lines(progress))
            case WaveEnded():
                talk.say(
                    f"  wave {progress.wave} ended: {progress.good} good, {progress.bad} bad, "
                    f"{progress.unreachable} unreachable"
                )
            case Soak(seconds=seconds):
                if seconds:
                    talk.say(f"  soaking for {duration_text(seconds)}")
            case ReadAgain(hosts=hosts):
                talk.say(f"  reading {counted(len(hosts), 'host')} again")
            case Halted(by=by, reason=reason):
                self._log.warning("rollout.halted", by=by.value, reason=reason)
                talk.say(line(" ", styled("halted", "halted"), f"{by.value}: {reason}"))
        running = f"; running on {', '.join(sorted(self._running)[:5])}" if self._running else ""
        talk.progress(f"{self._ended} of {counted(self._total, 'execution')} ended{running}")
