"""docs/starter-rules.md is what scripts/reference writes."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from remedy.load import load_repository, starter_rules
from scripts import starter_rules_page
from scripts.starter_rules_page import PAGE, main, page_text


def test_page_is_what_the_rules_say() -> None:
    """The page on the starter rules is current; `scripts/reference` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page_text(load_repository(starter_rules()))


def test_page_has_every_rule_signal_parameter_and_script() -> None:
    """Nothing that is shipped is missing: rules, signals, columns, parameters, and a section for each script."""
    repository = load_repository(starter_rules())
    page = PAGE.read_text(encoding="utf-8")

    for rule in repository.rules.values():
        section = page.partition(f"\n## {rule.name}\n")[2].partition("\n## ")[0]
        assert all(text in section for text in (rule.title, rule.why, rule.when.text)), rule.name
        assert all(f"| `{name}` | " in section for name in rule.params)
        assert section.count("**The fix on ") == len(rule.fix)
    for signal in repository.signals.values():
        section = page.partition(f"\n### {signal.name}\n")[2].partition("\n### ")[0]
        assert all(f"| `{name}` | " in section for name in (*signal.columns, *signal.params)), signal.name
        assert section.count("**The collector on ") == len(signal.collect)


def test_every_script_begins_with_what_it_does() -> None:
    """The comment at the head of each shipped script is there for the page: at least a sentence."""
    repository = load_repository(starter_rules())
    scripts = [script for rule in repository.rules.values() for script in rule.fix.values()]
    scripts += [script for signal in repository.signals.values() for script in signal.collect.values()]

    for script in scripts:
        assert starter_rules_page._header(script.body.decode())[0].endswith("."), script.path
    assert len(scripts) > 15


@pytest.mark.parametrize("change", ["new", "gone"])
def test_parameter_without_a_description_is_an_error(change: str) -> None:
    """A parameter that nobody described, or a description of none, stops the page from being written."""
    repository = load_repository(starter_rules())
    rule = repository.rules["low-disk"]
    params = {**rule.params, "fresh": 1.0} if change == "new" else {"below_percent": 10.0}
    changed = replace(repository, rules={**repository.rules, "low-disk": replace(rule, params=params)})

    with pytest.raises(ValueError, match=r"low-disk\.fresh" if change == "new" else r"low-disk\.below_gib"):
        page_text(changed)


def test_check_tells_a_stale_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` writes nothing and ends with 1 until the page is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(starter_rules_page, "PAGE", tmp_path / "page.md")
    codes = []
    for words in (["--check"], [], ["--check"], ["--wrong"]):
        monkeypatch.setattr(sys, "argv", ["reference", *words])
        codes.append(main())

    assert codes == [1, 0, 0, 1]
    assert "page.md is not what the rules say" in capsys.readouterr().err
