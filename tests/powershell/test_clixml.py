"""Standard error in CLIXML becomes text for people; what is no CLIXML, or is damaged, stays as it came."""

import importlib.resources
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy_runners.powershell import clixml
from remedy_runners.powershell.clixml import CLIXML_SIZE_MAX, Stderr, read_stderr

OPEN = '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
PROGRESS = (
    '<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T>'
    '<T>System.Object</T></TN><MS><I64 N="SourceId">1</I64><PR N="Record">'
    "<AV>Preparing modules for first use.</AV><AI>0</AI><Nil /><PI>-1</PI><PC>-1</PC><T>Completed</T>"
    "<SR>-1</SR><SD> </SD></PR></MS></Obj>"
)
ERRORS = '<S S="Error">fake : no such command_x000D__x000A_</S><S S="Error">At line:1 char:1_x000D__x000A_</S>'
ERRORS_TEXT = "fake : no such command\nAt line:1 char:1\n"


def _block(content: str) -> str:
    return f"#< CLIXML\r\n{OPEN}{content}</Objs>"


def _read(text: str) -> Stderr:
    return read_stderr(text.encode("utf-8"))


@pytest.mark.parametrize(
    ("raw", "text", "has_errors"),
    [
        (_block(ERRORS), ERRORS_TEXT, True),
        (_block(PROGRESS), "", False),
        (_block(PROGRESS + ERRORS + PROGRESS), ERRORS_TEXT, True),
        (_block(""), "", False),
        ("#< CLIXML\r\n", "", False),
        ("#< CLIXML", "", False),
        (f"#< CLIXML\n{OPEN[:-1]}/>", "", False),
        # Twice the marker, and blocks without one between them: what a PowerShell in a PowerShell writes.
        (_block(ERRORS) + _block(ERRORS), ERRORS_TEXT * 2, True),
        (_block(ERRORS) + "\r\n" + _block(PROGRESS), ERRORS_TEXT, True),
        (_block(PROGRESS) + f"{OPEN}{ERRORS}</Objs>", ERRORS_TEXT, True),
        ("#< CLIXML\r\n" + _block(ERRORS), ERRORS_TEXT, True),
        ("native\n" + _block(ERRORS), "native\n" + ERRORS_TEXT, True),
        ("native" + _block(ERRORS) + "\nbehind\n", "native" + ERRORS_TEXT + "\nbehind\n", True),
        (_block(ERRORS) + "between\n" + _block(ERRORS), ERRORS_TEXT + "between\n" + ERRORS_TEXT, True),
        (
            _block('<S S="warning">w</S><S S="verbose">v</S><S S="debug">d</S>'),
            "WARNING: w\nVERBOSE: v\nDEBUG: d\n",
            False,
        ),
        (_block('<S S="debug">d_x000A_</S>'), "DEBUG: d\n", False),
        (_block('<S S="Error">half </S><S S="Error">a line_x000A_</S>'), "half a line\n", True),
        (_block('<S S="Error">&lt;b&gt; &amp; &#228; ä</S>'), "<b> & ä ä", True),
        (_block('<S S="Error">_x005F_x000A_ _x0041__xD83D__xDE00_ _x12_</S>'), "_x000A_ A\U0001f600 _x12_", True),
        (_block('<S S="Error">_xD83D_</S>'), "\ufffd", True),
        (_block('<S S="Error">_X000A_</S>'), "_X000A_", True),
        (
            _block('<Obj S="Error" RefId="0"><ToString>boom</ToString><MS><S N="a">no</S></MS></Obj>'),
            "boom\n",
            True,
        ),
        (_block('<Obj S="information" RefId="0"><ToString>i</ToString></Obj>'), "", False),
        (_block('<S S="Output">o</S><S>nameless</S><S N="Error">n</S>'), "", False),
    ],
)
def test_clixml_is_read(raw: str, text: str, has_errors: bool) -> None:
    """Errors and warnings are text, progress is nothing, and what stands around blocks stays where it is."""
    assert _read(raw) == Stderr(text=text, is_decoded=True, has_errors=has_errors)


def test_a_block_that_is_spread_over_lines_is_the_same() -> None:
    """Blanks between the elements of a block say nothing."""
    spread = _block(PROGRESS + ERRORS).replace("><", ">\n    <")

    assert _read(spread).text == ERRORS_TEXT


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "plain\r\n",
        "about the line #< CLIXML in a text",
        f"{OPEN}{ERRORS}</Objs>",
        "#< CLIXML\r\n<in >dasf<?dsfij>",
        f"#< CLIXML\r\n{OPEN}{ERRORS}",
        f"#< CLIXML\r\n{OPEN}{ERRORS}</S></Objs>",
        f"#< CLIXML\r\n{OPEN}<S S='Error'>\x1b</S></Objs>",
        f"#< CLIXML\r\n{OPEN}<S S='Error'>&unknown;</S></Objs>",
        f"#< CLIXML\r\n{OPEN}<S S='Error' S='Error'>twice</S></Objs>",
        f"#< CLIXML\r\n<Objs>{'<a>' * 200}{'</a>' * 200}</Objs>",
        f"#< CLIXML\r\n<Objects>{ERRORS}</Objects>",
        f"#< CLIXML\r\n<?xml version='1.0'?><!DOCTYPE Objs [<!ENTITY a 'aaaa'>]>{OPEN}<S S='Error'>&a;</S></Objs>",
        f"#< CLIXML\r\n{OPEN}<!DOCTYPE Objs [<!ENTITY a 'aaaa'>]><S S='Error'>&a;</S></Objs>",
    ],
)
def test_what_is_no_clixml_stays_as_it_came(raw: str) -> None:
    """Text without the marker, and a block that is damaged, are shown as they are."""
    assert _read(raw) == Stderr(text=raw, is_decoded=False, has_errors=False)


def test_a_damaged_block_hides_no_other() -> None:
    """A block that is cut stays as it came, and the whole one behind it is read."""
    cut = f"#< CLIXML\r\n{OPEN}<S S='Error'>cut"

    assert _read(cut + _block(ERRORS)) == Stderr(text=cut + ERRORS_TEXT, is_decoded=True, has_errors=True)


def test_bytes_that_are_no_utf8_are_shown() -> None:
    """A byte of another encoding is shown as what it is, and the rest of the block is read."""
    raw = f"#< CLIXML\r\n{OPEN}<S S='Error'>bad ".encode() + b"\xe4</S></Objs>\xff"

    assert read_stderr(raw).text == "bad \\xe4\\xff"
    assert read_stderr(b"\xe4").text == "\\xe4"


def test_a_document_type_is_refused_by_the_parser_itself() -> None:
    """Nothing may be declared, wherever a block begins."""
    with pytest.raises(clixml._Damaged):
        clixml._Block().parse("<!DOCTYPE Objs><Objs/>")


BOMB = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 10))


@pytest.mark.parametrize(
    "raw",
    [
        "#< CLIXML\n" * 200_000,
        "#< CLIXML\n" + "<Objs></Objs>" * 100_000,
        "#< CLIXML\n<Objs>" * 100_000,
        "#< CLIXML\n<Objs>" + "<a>" * 400_000 + "</Objs>",
        "#< CLIXML\n<Objs " + "<Objs " * 200_000,
        "#< CLIXML" + " " * 2_000_000,
        "#< CLIXML\n<Objs>" + '<S S="Error">' + "_x000A_" * 200_000,
        "#< CLIXML\n<Objs>" + '<S S="Error"/>' * 100_000 + "</Objs>",
        '#< CLIXML\n<Objs><S S="Error">' + "&#65;" * 200_000 + "</S></Objs>",
        "#< CLIXML\n<Objs>" + "".join(f"<S a{n}='{n}'/>" for n in range(70_000)) + "</Objs>",
        f"#< CLIXML\n<Objs><!DOCTYPE x [<!ENTITY a0 'aaaaaaaaaa'>{BOMB}]><S S='Error'>&a9;</S></Objs>",
    ],
)
@pytest.mark.parametrize("size", [CLIXML_SIZE_MAX, CLIXML_SIZE_MAX + 1])
def test_a_megabyte_is_read_in_bounded_time(raw: str, size: int) -> None:
    """Whatever a mebibyte of standard error holds, reading it takes a moment and makes it no longer."""
    encoded = raw.encode()[:size]
    began = time.process_time()
    read = read_stderr(encoded)

    assert time.process_time() - began < 5
    assert len(read.text) <= len(encoded)


def test_more_than_a_megabyte_is_not_decoded() -> None:
    """There is a limit to what is searched, and behind it is the text as it came."""
    whole = _block('<S S="Error">' + "x" * (CLIXML_SIZE_MAX - len(_block('<S S="Error"></S>'))) + "</S>")
    assert len(whole) == CLIXML_SIZE_MAX

    assert _read(whole).is_decoded
    assert _read(whole + " ") == Stderr(text=whole + " ", is_decoded=False, has_errors=False)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=60))
def test_what_powershell_escapes_comes_back(text: str) -> None:
    """Text that was escaped as PowerShell does it is the same again, but for its ends of lines."""

    def escape(match: re.Match[str]) -> str:
        return "".join(f"_x{int.from_bytes(unit):04X}_" for unit in _units(match[0]))

    escaped = re.sub(r"_(?=x)|[\x00-\x1f\x7f-\x9f\ufffe\uffff\U00010000-\U0010ffff]", escape, text)
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    assert _read(_block(f'<S S="Error">{escaped}</S>')).text == text.replace("\r\n", "\n")


def _units(character: str) -> list[bytes]:
    raw = character.encode("utf-16-be")
    return [raw[at : at + 2] for at in range(0, len(raw), 2)]


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"#< CLIXML\r\n", b"#< CLIXML\r\n<Objs>", _block(ERRORS).encode()])
)
def test_any_bytes_are_read(raw: bytes, before: bytes) -> None:
    """Nothing that a host sends is an error of ours."""
    assert isinstance(read_stderr(before + raw).text, str)


def test_what_a_windows_host_wrote_is_read() -> None:
    """The answers of Windows hosts that pywinrm keeps for its own tests are text without markup."""
    tests = pytest.importorskip("winrm", reason="pywinrm brings the recordings")
    source = importlib.resources.files(tests).joinpath("tests", "test_session.py").read_text(encoding="utf-8")
    found = re.findall(r"msg = b'(#< CLIXML.*)'$", source, re.MULTILINE)
    blocks = [each.replace("\\r\\n", "\r\n").replace("\\'", "'") for each in found]
    read = [_read(block) for block in blocks]

    assert len(blocks) == 2
    assert [each.has_errors for each in read] == [True, False]
    assert read[0].text.startswith("fake : The term 'fake' is not recognized as the name of a cmdlet,")
    assert read[0].text.endswith("    + FullyQualifiedErrorId : CommandNotFoundException\n \n")
    assert "<" not in read[0].text
    assert read[1].text == ""
