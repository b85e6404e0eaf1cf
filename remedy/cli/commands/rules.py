"""`remedy rules list` and `rules show`: which rules there are, and all that one of them means."""

from collections.abc import Sequence

from remedy.cli.caller import caller_now
from remedy.cli.composition import Options, load_rules, read_config
from remedy.cli.console import Talk
from remedy.load.repository import Repository
from remedy.load.resolved import resolved_settings
from remedy.model import Rule
from remedy.render.rules import rule_json, rule_text, rules_json, rules_text
from remedy.run.scopes import choose_rules
from remedy.text import counted

__all__ = ["run_rules_list", "run_rules_show"]


def run_rules_list(options: Options) -> int:
    """
    List the rules that carry one of the tags, or all.

    Raises:
        FilesError: problems in the rules.
        NothingNamed: a tag exists nowhere.
    """
    talk = Talk(as_json=options.output == "json")
    repository, source, rules = _chosen(options, talk)
    if talk.as_json:
        talk.result_json(rules_json(rules, source=source))
        return 0
    talk.result(rules_text(rules))
    talk.say(f"{len(rules)} of {counted(len(repository.rules), 'rule')} of {source}")
    return 0


def run_rules_show(options: Options) -> int:
    """
    Show the one rule that is named.

    Raises:
        FilesError: problems in the rules.
        NothingNamed: there is no such rule.
    """
    talk = Talk(as_json=options.output == "json")
    repository, source, (rule,) = _chosen(options, talk)
    settings = resolved_settings(rule)
    if talk.as_json:
        talk.result_json(rule_json(rule, settings))
        return 0
    talk.say(f"rules {source}")
    talk.result(rule_text(rule, repository.signals[rule.signal], settings))
    return 0


def _chosen(options: Options, talk: Talk) -> tuple[Repository, str, Sequence[Rule]]:
    """Return the rules, where they are from, and those that are asked for; warnings are said."""
    caller = caller_now()
    repository, source = load_rules(read_config(options, caller), caller.directory, guess=True)
    chosen = choose_rules(repository.rules, names=options.rule, tags=options.tag, what=options.rule_named)
    for warning in repository.warnings:
        talk.say(f"warning: {warning}")
    return repository, source, chosen
