"""The payloads for PowerShell: their frame, their parts, and that all of it is PowerShell that 5.1 knows."""

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remedy_runners.powershell
from remedy.port import CollectJob, FixJob
from remedy_runners.powershell.texts import (
    LINE_SIZE,
    READ_DEADLINE_S,
    collector_payload,
    fix_payload,
    identity_payload,
    markers_payload,
    payload,
)
from tests.powershell.parse import parse_problems, unknown_to_5_1

NONCE = "0123456789abcdef" * 2
FILES = sorted(Path(remedy_runners.powershell.__path__[0]).glob("*.ps1"))
VALUES = {
    "REMEDY_ROW_MOUNT": "C:",
    "REMEDY_ROW_NOTE": "it’s 'so'\n$x",
    "REMEDY_PARAM_BELOW_PERCENT": "10",
    "REMEDY_HOST": "pc-1",
    "REMEDY_RULE": "low-disk",
    "REMEDY_EXECUTION": "e-1",
    "REMEDY_DEADLINE_S": "300",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A payload as the bootstrap takes it apart."""

    nonce: str
    literal: str
    script: bytes
    digest_is_right: bool
    deadline_s: int
    lines: tuple[bytes, ...]


def _read(raw: bytes) -> _Read:
    header, *lines, last = raw.split(b"\n")
    assert last == b"", "a last line without a newline is waited for until the stream ends"
    nonce, literal_size, size, digest, deadline_s = header.decode("ascii").split(" ")
    whole = base64.b64decode(b"".join(lines), validate=True)
    return _Read(
        nonce=nonce,
        literal=whole[: int(literal_size)].decode("utf-8", errors="replace"),
        script=whole[int(literal_size) :],
        digest_is_right=len(whole) == int(size) and hashlib.sha256(whole).hexdigest() == digest,
        deadline_s=int(deadline_s),
        lines=tuple(lines),
    )


def _collect_job(script: bytes = b"emit mount C:\n", *, timeout_s: int = 30) -> CollectJob:
    columns = {"mount": "text", "free_percent": "number", "is_system": "boolean"}
    return CollectJob(signal="disk", script=script, environment=VALUES, columns=columns, timeout_s=timeout_s)


def _fix_job(script: bytes = b"exit 0\n", *, execution_id: str = "e-1", timeout_s: int = 300) -> FixJob:
    digest = hashlib.sha256(script).hexdigest()
    return FixJob(
        execution_id=execution_id, script=script, script_sha256=digest, environment=VALUES, timeout_s=timeout_s
    )


PAYLOADS = {
    "collector": collector_payload(_collect_job(), nonce=NONCE),
    "fix": fix_payload(_fix_job(), nonce=NONCE),
    "fix elsewhere": fix_payload(_fix_job(), nonce=NONCE, root="/tmp/it's/$here"),
    "markers": markers_payload(["e-1", "e-2"], nonce=NONCE),
    "one marker": markers_payload(["e-1"], nonce=NONCE),
    "no marker": markers_payload([], nonce=NONCE),
    "identity": identity_payload(nonce=NONCE),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_parses_and_is_known_to_5_1(path: Path) -> None:
    """Each .ps1 of ours parses, uses nothing that Windows PowerShell 5.1 lacks, and is ASCII in short lines."""
    raw = path.read_bytes()

    assert parse_problems(raw) == []
    assert unknown_to_5_1(raw) == []
    assert raw.isascii()
    assert b"\r" not in raw
    assert b"\t" not in raw
    assert raw.endswith(b"}\n" if path.name == "bootstrap.ps1" else b"\n")
    assert path.name == "bootstrap.ps1" or max(map(len, raw.splitlines())) <= 120


def test_files_are_these() -> None:
    """Every .ps1 of the package is one that the texts are made of; none is left over."""
    assert [path.stem for path in FILES] == ["bootstrap", "collector", "common", "fix", "identity", "markers"]


@pytest.mark.parametrize("name", PAYLOADS)
def test_payload_parses_and_is_known_to_5_1(name: str) -> None:
    """Both parts of each payload parse on their own, with values put in, and 5.1 knows all of it."""
    read = _read(PAYLOADS[name])

    for part in (read.literal.encode(), read.script):
        assert parse_problems(part) == []
        assert unknown_to_5_1(part) == []


@pytest.mark.parametrize("name", PAYLOADS)
def test_payload_is_framed(name: str) -> None:
    """The header has nonce, sizes, SHA-256 and deadline; Base64 follows in full lines but for the last."""
    read = _read(PAYLOADS[name])

    assert read.nonce == NONCE
    assert read.digest_is_right
    assert {len(line) for line in read.lines[:-1]} <= {LINE_SIZE}
    assert 0 < len(read.lines[-1]) <= LINE_SIZE
    assert PAYLOADS[name].isascii()


@given(
    script=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff")), before=st.text("$a'ü€")
)
def test_payload_brings_script_and_literal_exactly(script: str, before: str) -> None:
    """Whatever the script holds, its bytes arrive as they are, behind a literal part measured in bytes."""
    read = _read(payload(script.encode(), before=before, nonce=NONCE, deadline_s=7))

    assert (read.script, read.literal, read.deadline_s) == (script.encode(), before, 7)
    assert read.digest_is_right


@pytest.mark.parametrize("size", [1, LINE_SIZE * 3 // 4, LINE_SIZE * 3 // 4 + 1, 200_000])
def test_payload_of_any_size_is_whole_lines(size: int) -> None:
    """The bootstrap reads lines until it has as many characters as the size needs; there are exactly so many."""
    raw = payload(b"#" * size, before="", nonce=NONCE, deadline_s=0)
    read = _read(raw)

    assert sum(map(len, read.lines)) == 4 * -(-size // 3)
    assert b"" not in read.lines


@pytest.mark.parametrize("name", PAYLOADS)
def test_damaged_payload_changes_the_digest(name: str) -> None:
    """One other character anywhere in the Base64 is seen: the digest is another, or it is no Base64 of that size."""
    raw = PAYLOADS[name]
    begin = raw.index(b"\n") + 1
    # The bits that Base64 pads with carry nothing: another last character may mean the same.
    end = len(raw.rstrip(b"=\n")) - 1

    for at in range(begin, end, max(1, (end - begin) // 200)):
        other = b"A" if raw[at : at + 1] != b"A" else b"B"
        if raw[at : at + 1] != b"\n":
            assert not _read(raw[:at] + other + raw[at + 1 :]).digest_is_right


def test_payload_drops_a_byte_order_mark() -> None:
    """PowerShell would take a byte order mark inside of a text for a part of the first word."""
    read = _read(payload(b"\xef\xbb\xbfexit 3\n", before="$null", nonce=NONCE, deadline_s=0))

    assert read.script == b"exit 3\n"


@pytest.mark.parametrize(
    ("script", "nonce", "deadline_s", "words"),
    [
        (b"a\0b", NONCE, 1, "NUL"),
        (b"\xe4", NONCE, 1, "UTF-8; byte 0"),
        ("exit 1".encode("utf-16"), NONCE, 1, "NUL|UTF-8"),
        (b"", "N0nce", 1, "nonce"),
        (b"", NONCE, -1, "deadline"),
        (b"", NONCE, 2_000_001, "deadline"),
    ],
)
def test_payload_of_what_cannot_travel_is_refused(script: bytes, nonce: str, deadline_s: int, words: str) -> None:
    """What PowerShell would read as something else, or the header cannot say, has no payload."""
    with pytest.raises(ValueError, match=words):
        payload(script, before="", nonce=nonce, deadline_s=deadline_s)


def test_collector_payload_has_script_values_and_columns() -> None:
    """The script travels untouched; values stand in the literal part, as $Remedy and as environment variables."""
    read = _read(PAYLOADS["collector"])
    values = read.literal.partition("\n$global")[0]

    assert read.script == b"emit mount C:\n"
    assert read.deadline_s == 30
    assert "'columns'=@(@('free_percent','number'),@('is_system','boolean'),@('mount','text'))" in values
    assert "'row'=[pscustomobject]@{'mount'='C:';'note'='it’’s ''so''\n$x'}" in values
    assert "'params'=[pscustomobject]@{'below_percent'='10'}" in values
    assert "'host'='pc-1';'rule'='low-disk';'execution'='e-1';'deadline_s'=30}" in values
    assert "@('REMEDY_HOST','pc-1')" in values
    assert read.literal.endswith("remedy_set_environment\nremedy_say ('started ' + (remedy_boot_id))\n$values.remedy\n")


def test_fix_payload_asks_in_order() -> None:
    """Hold file, folder, lock, marker, environment, and only then `started`, as the text's order has it."""
    text = _read(PAYLOADS["fix"]).literal
    body = text[text.index("$root = remedy_root\nif (-not $root)") :]
    steps = [
        "remedy_leave ('held '",
        "remedy_check_root",
        "$_k.l = [IO.File]::Open($lock",
        "remedy_forget",
        "'CreateNew'",
        "$file.Flush($true)",
        "remedy_set_environment",
        "$_k.f =",
        'remedy_say "started $boot"',
    ]

    assert [body.count(step) for step in steps] == [1] * len(steps)
    assert [body.index(step) for step in steps] == sorted(body.index(step) for step in steps)
    assert body.endswith('remedy_say "started $boot"\n$values.remedy\n')


def test_fix_payload_has_its_id_deadline_and_root() -> None:
    """The id, the deadline and the folder reach the host as values; without a folder it is Windows' own."""
    here, elsewhere = _read(PAYLOADS["fix"]), _read(PAYLOADS["fix elsewhere"])

    assert here.deadline_s == elsewhere.deadline_s == 300
    assert "'root'=$null;'execution_id'='e-1';'deadline_s'=300" in here.literal
    assert "'root'='/tmp/it''s/$here'" in elsewhere.literal


def test_reading_payloads_run_under_a_deadline() -> None:
    """What reads markers or identity is a script like any other: its errors end it, and its time is limited."""
    for name in ("markers", "identity"):
        read = _read(PAYLOADS[name])

        assert read.literal == "@{}"
        assert read.deadline_s == READ_DEADLINE_S
        assert read.script.startswith(f"$values=[pscustomobject]@{{'nonce'='{NONCE}'".encode())
    assert b"'ids'=@('e-1','e-2')" in _read(PAYLOADS["markers"]).script


def test_marks_are_those_that_the_docstring_lists() -> None:
    """Every mark that a file of ours prints stands in the docstring of the texts, and every one there is printed."""
    said: set[str] = set()
    for path in FILES:
        said |= set(re.findall(r"remedy_(?:say|leave) \(?['\"]([a-z]+)", path.read_text("ascii")))

    listed = re.findall(r"^ {4}([a-z]+)(?: |$)", remedy_runners.powershell.texts.__doc__ or "", flags=re.MULTILINE)

    assert said == set(listed)


@pytest.mark.parametrize(
    "job",
    [
        _collect_job(timeout_s=0),
        CollectJob(signal="s", script=b"", environment={}, columns={"A": "text"}, timeout_s=1),
        CollectJob(signal="s", script=b"", environment={}, columns={"a": "date"}, timeout_s=1),
        CollectJob(signal="s", script=b"", environment={"path": "x"}, columns={}, timeout_s=1),
        CollectJob(signal="s", script=b"", environment={"REMEDY_X": "a\0"}, columns={}, timeout_s=1),
        CollectJob(signal="s", script=b"", environment={"REMEDY_X": "a" * 32_001}, columns={}, timeout_s=1),
    ],
)
def test_collector_that_cannot_travel_is_refused(job: CollectJob) -> None:
    """A column, value or timeout that the host could not take as it is has no payload."""
    with pytest.raises(ValueError, match=r"column|cannot be given|second"):
        collector_payload(job, nonce=NONCE)


@pytest.mark.parametrize("execution_id", ["", "..", "a/b", r"a\b", "a b", "e-1\n", "é"])
def test_execution_id_that_names_no_folder_is_refused(execution_id: str) -> None:
    """An id becomes a folder's name on the host; one that could lead elsewhere has no payload."""
    with pytest.raises(ValueError, match="no execution id"):
        fix_payload(_fix_job(execution_id=execution_id), nonce=NONCE)
    with pytest.raises(ValueError, match="no execution id"):
        markers_payload(["e-1", execution_id], nonce=NONCE)


def test_more_than_a_thousand_markers_are_refused() -> None:
    """As many markers are asked for at once as on a POSIX host."""
    assert markers_payload(["e"] * 1_000, nonce=NONCE)
    with pytest.raises(ValueError, match="1000 markers"):
        markers_payload(["e"] * 1_001, nonce=NONCE)


def test_texts_need_only_the_standard_library() -> None:
    """Loader and payloads are made by a bare Python: nothing foreign is imported on the way."""
    program = (
        "import sys; import remedy_runners.powershell.texts as t; t.identity_payload(nonce='0' * 32); t.command_line();"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    run = subprocess.run([sys.executable, "-I", "-S", "-c", _PATHS + program], capture_output=True, text=True)

    assert run.stderr == ""
    assert run.stdout == "['__main__', 'remedy', 'remedy_runners']\n"


_TREE = Path(__file__).parents[2]
_PATHS = f"import sys; sys.path[:0] = [{str(_TREE)!r}, {str(_TREE / 'runners')!r}]; "
