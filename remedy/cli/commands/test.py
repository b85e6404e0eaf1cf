"""`remedy test`: the cases of rules, run without contacting anybody."""

from collections.abc import Sequence

from remedy.cli.caller import utc_now
from remedy.cli.composition import Options
from remedy.cli.console import Talk
from remedy.cli.rule_paths import named_or_configured
from remedy.errors import UsageError
from remedy.render.junit import junit_text
from remedy.summary import ExitCode
from remedy.testing.report import checked_of, suite_json, suite_lines, summary_line
from remedy.testing.results import State, Suite
from remedy.testing.suite import Asked, find_targets, run_suite
from remedy_runners.sandbox import BubblewrapCage

__all__ = ["OUTPUTS", "run_test"]

OUTPUTS = ("text", "json", "junit")


def run_test(
    options: Options,
    paths: Sequence[str],
    *,
    keyword: str | None,
    output: str,
    coverage: bool,
    mutants: bool,
    strict: bool,
) -> int:
    """Run the cases of folders of rules (default: the configured one), of single rules, or of one tests.yaml."""
    if output not in OUTPUTS:
        raise UsageError(f"--output {output}: {', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}")
    if keyword is not None and not keyword.strip():
        raise UsageError("--keyword is empty; name a part of a case's name, or leave it out")
    if any(not name.strip() for name in options.rule):
        raise UsageError("--rule needs a name; an empty one would mean nothing or everything")
    talk = Talk(as_json=output != "text")
    asked = Asked(rules=tuple(options.rule), text=keyword or "", coverage=coverage, mutants=mutants)
    targets = find_targets(named_or_configured(options, paths, kinds="a folder of rules"))
    suite, warnings = run_suite(targets, asked, cage=BubblewrapCage(), today=utc_now().date(), progress=talk.progress)
    for warning in warnings:
        talk.say(f"warning: {warning}")
    match output:
        case "json":
            talk.result_json(suite_json(suite))
            talk.say(summary_line(suite))
        case "junit":
            talk.result_text(junit_text("remedy test", checked_of(suite)))
            talk.say(summary_line(suite))
        case _:
            talk.result([*suite_lines(suite), summary_line(suite)])
    return _exit_code(suite, strict=strict)


def _exit_code(suite: Suite, *, strict: bool) -> int:
    if suite.of(State.BROKEN):
        return 1
    gaps = sum(rule.gaps for rule in suite.coverage or ()) + len(suite.survivors or ())
    if suite.of(State.FAILED) or (strict and gaps):
        return int(ExitCode.BAD)
    return int(ExitCode.INCOMPLETE) if strict and suite.of(State.SKIPPED) else 0
