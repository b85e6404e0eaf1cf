"""The shell functions `emit` and `not_applicable`, in every shell that a host may have as sh."""

import json
import shutil
import subprocess

import pytest

from remedy_runners.prelude import collector_prelude

COLUMNS = {"n": "number", "b": "boolean", "t": "text"}
SHELLS = [
    pytest.param(
        words,
        id=words.split()[0],
        marks=pytest.mark.skipif(shutil.which(words.split()[0]) is None, reason="no such shell"),
    )
    for words in ("dash", "bash", "busybox sh")
]

NUMBERS = {
    "0": 0,
    "-0": 0,
    "7": 7,
    "-7": -7,
    "3.25": 3.25,
    "-0.5": -0.5,
    "1e3": 1000,
    "1E+3": 1000,
    "1.5e-3": 0.0015,
    "1e0003": 1000,
    "9" * 308: int("9" * 308),
    "1e-400": 0,
}
NO_NUMBERS = [
    "", " ", "012", "00", "-", "+1", ".5", "5.", "-.5", "1.", "1.e3", "1e", "1e+", "e3", "1e3.5", "0x10", "1_000",
    "1,5", " 1", "1 ", "1\n", "\n1", "NaN", "nan", "inf", "Infinity", "-Infinity", "1e999", "1e308", "9" * 309,
    "1e99999999999999999999", "--1", "-+1", "1-1", "1e--3", "1e+-3", "1e-", "a", "1a", "*", "?", "[0-9]",
    "1.2.3", "\\1", "'1'", '"1"', "½", "٣", "1e1e1",
]  # fmt: skip


def _emitted(shell: str, *values: str, options: str = "") -> bytes:
    script = collector_prelude(COLUMNS) + f'{options}\nfor v; do emit n "$v" b "$v" t "$v"; done\n'.encode()
    process = subprocess.run(
        [*shell.split(), "-c", script, "sh", *values], capture_output=True, env={"LC_ALL": "C"}, check=False
    )
    assert process.stderr == b""
    assert process.returncode == 0
    return process.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_emit_number_is_a_finite_json_number_or_null(shell: str) -> None:
    """What is no finite JSON number exactly becomes null; nothing is stripped or guessed."""
    rows = [json.loads(line) for line in _emitted(shell, *NUMBERS, *NO_NUMBERS).splitlines()]

    assert [row["n"] for row in rows[: len(NUMBERS)]] == list(NUMBERS.values())
    assert [row["n"] for row in rows[len(NUMBERS) :]] == [None] * len(NO_NUMBERS)


@pytest.mark.parametrize("shell", SHELLS)
def test_emit_number_keeps_its_digits(shell: str) -> None:
    """A number is printed as the script wrote it, not rounded on the way."""
    assert b'"n":0.30000000000000004,' in _emitted(shell, "0.30000000000000004")


@pytest.mark.parametrize("shell", SHELLS)
def test_emit_boolean_is_true_false_or_null(shell: str) -> None:
    """Only the words true and false are booleans."""
    values = ["true", "false", "True", "yes", "1", "0", "", " true"]

    rows = [json.loads(line) for line in _emitted(shell, *values).splitlines()]

    assert [row["b"] for row in rows] == [True, False, None, None, None, None, None, None]


@pytest.mark.parametrize("shell", SHELLS)
def test_emit_text_survives_as_json(shell: str) -> None:
    """Every character, quotes, backslashes and controls among them, comes back; empty is null."""
    values = [chr(code) for code in range(1, 128)]
    values += ["".join(values), "", "a\\", '"', "\\\"'", "äöü €", "a\nb\n", "*", "$(id)", "x" * 4_096, "a\tb" * 500]

    rows = [json.loads(line) for line in _emitted(shell, *values).splitlines()]

    assert [row["t"] for row in rows] == [value or None for value in values]


@pytest.mark.parametrize("shell", SHELLS)
def test_emit_text_passes_other_bytes_on(shell: str) -> None:
    """Bytes that are no UTF-8 are not touched: the reader judges them."""
    script = collector_prelude(COLUMNS) + b"emit t \"$(printf 'a\\377\\200b')\""

    process = subprocess.run([*shell.split(), "-c", script], capture_output=True, env={"LC_ALL": "C"}, check=False)

    assert process.stdout == b'{"t":"a\xff\x80b"}\n'


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("options", ["set -eu", "set -f", "IFS=ab,", "set -u; IFS="])
def test_emit_works_under_strict_options(shell: str, options: str) -> None:
    """Strict mode, noglob and odd field separators in a collector change nothing."""
    plain = _emitted(shell, "1", "x", "", "a\nb", "1e5")

    strict = _emitted(shell, "1", "x", "", "a\nb", "1e5", options=options)

    assert strict == plain


@pytest.mark.parametrize("shell", SHELLS)
def test_emit_unknown_column_is_printed(shell: str) -> None:
    """A column that is not declared goes out as text, so that the reader can refuse it; so does its odd name."""
    script = collector_prelude(COLUMNS) + b"""emit nn 5 'a"b' 1 t\n"""

    process = subprocess.run([*shell.split(), "-c", script], capture_output=True, check=False)

    assert json.loads(process.stdout) == {"nn": "5", 'a"b': "1", "t": None}


@pytest.mark.parametrize("shell", SHELLS)
def test_not_applicable_ends_the_collector_well(shell: str) -> None:
    """not_applicable prints its reason as the reader expects it, and the script ends there with 0."""
    script = collector_prelude({}) + b"""not_applicable 'no "swap"'; echo went on; exit 3\n"""

    process = subprocess.run([*shell.split(), "-c", script], capture_output=True, check=False)

    assert (process.returncode, json.loads(process.stdout)) == (0, {"not_applicable": 'no "swap"'})


def test_prelude_is_one_line_without_external_commands() -> None:
    """Line numbers in a collector's errors stay true, and a host without coreutils in PATH can still emit."""
    script = collector_prelude(COLUMNS) + b"PATH=/nonexistent\nemit n 1 b true t 'a\"\nb'\nnot_a_command\n"

    process = subprocess.run(["/bin/dash", "-c", script], capture_output=True, check=False)

    assert b"\n" not in collector_prelude(COLUMNS)
    assert json.loads(process.stdout) == {"n": 1, "b": True, "t": 'a"\nb'}
    assert b"dash: 4: not_a_command" in process.stderr


@pytest.mark.parametrize("columns", [{"a b": "text"}, {"A": "text"}, {"a": "int"}, {"a)": "number"}])
def test_prelude_of_columns_that_are_none_is_refused(columns: dict[str, str]) -> None:
    """A column's name becomes shell text: only names that are names."""
    with pytest.raises(ValueError):
        collector_prelude(columns)
