"""What is no YAML is said as a person would say it; what is only doubtful hides nothing behind it."""

from pathlib import Path

import pytest

from remedy.load.config import load_config, state_alone
from remedy.load.document import Document, survey_document
from remedy.load.nodes import plain
from remedy.load.schema import check_parts
from remedy.load.yaml_events import survey_yaml

_MISFIT = "this line does not fit the lines before it; line it up with the key or the '-' that it belongs to"
_ENDED = (
    "the value ends before this, and nothing may follow it; put the whole text in quotes; inside of '' a ' is written "
    "twice"
)
_COLON = "a second ':' with a blank behind it on one line; put the text in quotes"
_KEY = "a key cannot stand here; line it up with the keys above, and see that each has ': ' behind it"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: [A\nwhy: x\n", "1:8: is not YAML: this [ is not closed; close it with ], or put the text in quotes"),
        ("{a: 1\n", "1:1: is not YAML: this { is not closed; close it with }, or put the text in quotes"),
        (
            "a: {b: c d: e}\n",
            (
                "1:11: is not YAML: a , or } is missing here, for the { at column 4; "
                "add it, or put texts with : , or brackets in them in quotes"
            ),
        ),
        ("title: a: b\n", f"1:9: is not YAML: {_COLON}"),
        ("a: 1\n  b: 2\n", f"2:3: is not YAML: {_KEY}"),
        ("a:1\nb: 2\n", f"2:1: is not YAML: {_KEY}"),
        ("title: a\nwhy\nx: 1\n", "2:1: is not YAML: this line has no ':' behind its key; write KEY: VALUE"),
        ("a: @x\n", "1:4: is not YAML: a text cannot start with @; put it in quotes"),
        ("a: %x\n", "1:4: is not YAML: a text cannot start with %; put it in quotes"),
        ("hosts: *\n", "1:8: is not YAML: a text cannot start with *; put it in quotes"),
        ("a: ]\n", "1:4: is not YAML: a text cannot start with ]; put it in quotes"),
        ("a:\n  b: 1\n c: 2\n", f"3:2: is not YAML: {_MISFIT}"),
        ("- a\nb: 1\n", f"2:1: is not YAML: {_MISFIT}"),
        ("key: 'it's'\n", f"1:10: is not YAML: {_ENDED}"),
        ('a: "x" y\n', f"1:8: is not YAML: {_ENDED}"),
        ("a: 'x\nb: 1\n", "1:4: is not YAML: this quotation is not closed; close it"),
        (
            'a: "x\\d"\n',
            "1:6: is not YAML: in double quotes \\d is no character; put the text in single quotes, or write \\\\",
        ),
        (
            "a: - b\n",
            (
                "1:4: is not YAML: a list starts on a line of its own; move the - to the next line, "
                "or put the text in quotes"
            ),
        ),
        ("a: x\n\tb: 1\n", "2:1: is not YAML: a tab; use spaces"),
        ("a: !foo!bar x\n", "1:4: is not YAML: while parsing a node found undefined tag handle"),
    ],
)
def test_what_is_no_yaml_is_said_where_it_can_be_mended(text: str, said: str) -> None:
    """The message points where the mistake is, not where the reader gave up, and says what to do."""
    node, problems = survey_yaml(text, file="f")

    assert node is None
    assert [str(problem) for problem in problems] == [f"f:{said}"]


def test_no_text_of_a_file_is_quoted() -> None:
    """What cannot be read may be a password: at most one character of it is shown, or two of an escape."""
    for text in ('a: "hunter2\\qsecret"\n', "a: 'hunter2' secret'\n", "a: hunter2: secret\n", "hunter2\nb: 1\n"):
        _, problems = survey_yaml(text, file="f")

        assert problems
        assert "hunter2" not in str(problems)
        assert "secret" not in str(problems)


def _surveyed(text: str) -> Document:
    document, _ = survey_document(text.encode(), file="f")
    assert document is not None
    return document


def test_doubtful_values_are_said_and_the_rest_can_be_judged() -> None:
    """A document with doubtful values is read to its end, and says which of them nobody may go by."""
    document = _surveyed("a: no\nb: [1, 0x2]\nc: &x {d: 1}\ne: *x\nf: {<<: {}, g: 1}\nh: fine\n")

    assert [problem.place.line for problem in document.problems] == [1, 2, 3, 4, 5]
    assert set(document.doubtful) == {("a",), ("b", 1), ("e",), ("f",)}
    assert plain(document.node)["h"] == "fine"


def test_doubtful_value_is_one_message_whatever_depends_on_it() -> None:
    """Nothing is said of the form of a doubtful value, nor of the list or mapping that it spoils; all else is."""
    document = _surveyed("rule: no\ntags: [0x10, 3]\nlimits: {matched: [5, 0x10], attempts: {count: 0}}\nmode: fx\n")
    shape = check_parts(document, "rule")
    said = [str(problem).removeprefix("f:") for problem in sorted(document.problems) if problem.place.line > 1]

    assert [each.split()[0] for each in said] == ["2:8:", "2:14:", "3:23:", "3:48:", "4:7:"]
    assert not shape.is_sound("rule")
    assert not shape.is_sound("tags", 0)
    assert shape.is_sound("limits", "cooldown")


def test_mistakes_without_end_are_cut_off() -> None:
    """A file with thousands of mistakes in its form says a hundred of them, and that there are more."""
    document = _surveyed("".join(f"key{number}: 1\n" for number in range(5_000)))
    shape = check_parts(document, "rule")

    assert len(document.problems) == 101
    assert document.problems[-1].message == "too many problems; the rest of the file was not looked at"
    assert not shape.is_sound("title")


def test_settings_with_a_doubtful_value_name_no_state_by_themselves(tmp_path: Path) -> None:
    """The brakes go by no remedy.yaml in which two readers could see different things."""
    (tmp_path / "remedy.yaml").write_text("state: /one\nrules: 0777\n")

    assert state_alone(tmp_path, environment={}) is None


def test_settings_with_mistakes_name_only_what_is_sound(tmp_path: Path) -> None:
    """With somebody to note them, mistakes are noted, and the sound paths still name rules and inventory."""
    (tmp_path / "remedy.yaml").write_text("rules: here\ninventory: $HOME/hosts\nprotected: '!dc'\nstate: off\nx: 1\n")
    noted: list[object] = []
    config = load_config(tmp_path, environment={}, system_file=tmp_path / "none.yaml", noted=noted)  # type: ignore[arg-type]

    assert config.rules == tmp_path / "here"
    assert (config.inventory, config.state) == (None, None)
    assert not config.safeguards.protected
    assert len(noted) == 4
