"""What a session over PowerShell makes of each answer: the outcome is exact, and never better than what was seen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remedy.errors import Refused, Unreachable
from remedy.port import CollectorEnding, FixEnding, Marker, MarkersRead, MarkerState
from remedy_runners.capture import COLLECTOR_STDOUT_MAX, FIX_OUTPUT_MAX
from remedy_runners.powershell.endings import Identity
from remedy_runners.powershell.session import DRAIN_S, START_S
from remedy_runners.powershell.texts import command_line
from remedy_runners.session import GRACE_S, READ_MARKERS_S, LinkLost
from tests.powershell.scripted import (
    NONCE,
    Say,
    Scripted,
    ScriptedSession,
    a_collector,
    a_fix,
    line,
    says,
)

STARTED = line("started windows-0000002a")
LOADED = line("load 1 ")
DAMAGED_7 = b"Exception: \nLine |\n  15 |  ... throw 'payload damaged'}\n     |  ~~~~~\n     | payload damaged\n"
DAMAGED_5 = (
    b"payload damaged\r\nAt line:15 char:9\r\n+ ... throw 'payload damaged'}\r\n+ ~~~~\r\n"
    b"    + CategoryInfo          : OperationStopped: (payload damaged:String) [], RuntimeException\r\n"
    b"    + FullyQualifiedErrorId : payload damaged\r\n \r\n"
)
CONSTRAINED = (
    b"Cannot invoke method. Method invocation is supported only on core types in this language mode.\r\n+ iex\r\n"
)
OURS = b"Exception: remedy: this folder has a strange owner\nException: remedy: the script was not started\n"


def thrown_by_5(words: str) -> bytes:
    """Return a `throw` of ours as 5.1 shows it: with its line of source, and its category, cut in the middle."""
    text = f"remedy: {words}"
    named = text if len(text) <= 40 else f"{text[:18]}...{text[-18:]}"
    return (
        f"{text}\r\nAt line:152 char:5\r\n+     throw '{text}'\r\n+     {'~' * (len(text) + 8)}\r\n"
        f"    + CategoryInfo          : OperationStopped: ({named}:String) [], RuntimeException\r\n"
        f"    + FullyQualifiedErrorId : {text}\r\n \r\n"
    ).encode("ascii")


NOT_STARTED_BY_5 = thrown_by_5("the script was not started")
OURS_BY_5 = thrown_by_5("this folder has a strange owner") + NOT_STARTED_BY_5


# --- fixes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "ending", "code", "reason"),
    [
        (STARTED + b"a\n" + line("exit 0 0"), b"", 0, FixEnding.FINISHED, 0, ""),
        (STARTED + line("exit 3010 3010"), b"", 3010, FixEnding.FINISHED, 3010, ""),
        (STARTED + line("exit -2147024891 -2147024891"), b"", 5, FixEnding.FINISHED, -2147024891, ""),
        (STARTED + line("end 0 "), b"", 0, FixEnding.FINISHED, 0, ""),
        (STARTED + line("end 0 0"), b"", 0, FixEnding.FINISHED, 0, ""),
        (STARTED + line("end 0 5"), b"", 0, FixEnding.FINISHED, 5, "its last native command ended with 5"),
        (STARTED + line("end 0 -1"), b"", 0, FixEnding.FINISHED, -1, "its last native command ended with -1"),
        (STARTED + line("throw 1 "), b"Exception: x\n", 1, FixEnding.FINISHED, 1, "throw: an error ended it"),
        (STARTED + line("throw 1 3"), b"", 1, FixEnding.FINISHED, 1, "throw: an error ended it"),
        (STARTED + line("parse 1 "), b"", 1, FixEnding.FINISHED, 1, "parse: it is no PowerShell that this host"),
        (STARTED + line("stop 1 "), b"", 1, FixEnding.FINISHED, 1, "stop: its pipeline was stopped"),
        (STARTED + LOADED, b"", 1, FixEnding.FINISHED, 1, "load: its loader failed; nothing of the script ran"),
        (STARTED + line("time 124 "), b"", None, FixEnding.TIMED_OUT, None, "it did not end within 60 s"),
        (STARTED + b"a\n", b"", 9, FixEnding.LOST, None, "its end was not seen"),
        (STARTED + b"a\n", b"", None, FixEnding.LOST, None, "its end was not seen"),
        (STARTED + b"\nN0nce77 end 0 \n", b"", 0, FixEnding.LOST, None, "its end was not seen"),
        (line("held until monday") + LOADED, b"", 1, FixEnding.HOST_HOLD, None, "until monday"),
        (line("held ") + LOADED, b"", 1, FixEnding.HOST_HOLD, None, "its hold file exists"),
        (line("held \x1b[2J{x}") + LOADED, b"", 1, FixEnding.HOST_HOLD, None, "\\x1b[2J{x}"),
        (line("held x"), b"", None, FixEnding.HOST_HOLD, None, "x"),
        (line("busy") + LOADED, b"", 1, FixEnding.HOST_BUSY, None, "another fix is at work on the host"),
        (line("already") + LOADED, b"", 1, FixEnding.ALREADY_STARTED, None, "this execution was started on the host"),
        (line("refused marker C:\\a {b}") + LOADED, b"", 1, FixEnding.REFUSED, None, "C:\\a {b} cannot be written"),
        (line("refused marker C:\\a") + LOADED, OURS, 1, FixEnding.REFUSED, None, "(this folder has a strange owner)"),
        (
            line("refused marker C:\\a") + LOADED,
            OURS_BY_5,
            1,
            FixEnding.REFUSED,
            None,
            "(this folder has a strange owner)",
        ),
        (line("refused hold C:\\hold") + LOADED, b"", 1, FixEnding.REFUSED, None, "let this login read C:\\hold"),
        (line("refused lock C:\\lock") + LOADED, b"", 1, FixEnding.REFUSED, None, "its lock C:\\lock cannot be"),
        (line("refused {new} word") + LOADED, b"", 1, FixEnding.REFUSED, None, "refused {new} word"),
        (line("refused") + LOADED, b"", 1, FixEnding.REFUSED, None, "nothing ran on the host: refused"),
        (LOADED, DAMAGED_7, 1, FixEnding.REFUSED, None, "could not load the payload: payload damaged"),
        (LOADED, DAMAGED_5, 1, FixEnding.REFUSED, None, "could not load the payload: payload damaged"),
        (b"", CONSTRAINED, 1, FixEnding.REFUSED, None, "it ended with 1: Cannot invoke method. Method invocation"),
        (b"", b"'powershell.exe' is not recognized", 9009, FixEnding.REFUSED, None, "it ended with 9009"),
        (b"", b"", 0, FixEnding.LOST, None, "its start was not seen"),
        (b"", b"", None, FixEnding.LOST, None, "its start was not seen"),
        (b"", b"", 0xC000013A, FixEnding.LOST, None, "its start was not seen"),
        (b"", b"", -1, FixEnding.LOST, None, "its start was not seen"),
        (b"s\0t\0a\0r\0t\0e\0d\0", b"", 1, FixEnding.LOST, None, "its start was not seen"),
        (b"\n load 1 \n", b"", 1, FixEnding.LOST, None, "its start was not seen"),
        (line("exit 0 0"), b"", 0, FixEnding.LOST, None, "its start was not seen"),
        (line("exit 3 3"), b"", 3, FixEnding.LOST, None, "its start was not seen"),
        (line("held x") + line("exit 0 0"), b"", 0, FixEnding.LOST, None, "its start was not seen"),
    ],
)
def test_fix_ends_as_what_was_seen(
    stdout: bytes, stderr: bytes, status: int | None, ending: FixEnding, code: int | None, reason: str
) -> None:
    """Each answer has one ending: exact code when the trailer was seen, `refused` only when surely nothing ran."""
    process = says(stdout, stderr=stderr, status=status)
    result = ScriptedSession(process).fix(*a_fix())

    assert (result.ending, result.exit_code) == (ending, code)
    assert reason in result.reason
    assert bool(result.reason) is bool(reason)
    assert process.closed
    assert process.is_finished


@pytest.mark.parametrize("stderr", [b"Exception: remedy: the script was not started\n", NOT_STARTED_BY_5])
def test_that_the_script_was_not_started_is_no_reason_of_its_own(stderr: bytes) -> None:
    """Why a fix was refused is said once, without the error that ended the payload for it, whoever shows it."""
    process = says(line("refused lock C:\\lock") + LOADED, stderr=stderr)
    result = ScriptedSession(process).fix(*a_fix())

    assert result.reason.endswith("its lock C:\\lock cannot be opened; let this login write there")


WHOLE = STARTED + b"freed 3 GiB\n" * 3 + line("exit 0 0")
_WHOLE = WHOLE.replace(NONCE, b"0" * 32)


@given(st.integers(0, len(_WHOLE)), st.sampled_from([0, None]), st.booleans(), st.booleans())
def test_a_cut_answer_is_lost_or_the_same_success(
    size: int, status: int | None, is_silent: bool, as_crlf: bool
) -> None:
    """A successful fix's answer, cut at any byte, is `lost` or that success, and a success only when it is whole."""
    whole = WHOLE.replace(b"\n", b"\r\n") if as_crlf else WHOLE
    process = _CutAt(size, steps=[Say(stdout=whole)], status=status, is_silent=is_silent)
    result = ScriptedSession(process).fix(*a_fix())

    if result.ending is FixEnding.FINISHED:
        assert (result.exit_code, result.reason, size) == (0, "", len(_WHOLE))
        assert result.stdout.kept.replace(b"\r", b"") == b"freed 3 GiB\n" * 3
    else:
        assert (result.ending, result.exit_code) == (FixEnding.LOST, None)


class _CutAt(Scripted):
    """A process whose answer is cut after so many bytes, CR not counted."""

    def __init__(self, size: int, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._size = size

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        chunks = super().receive(timeout_s=timeout_s)
        if not chunks or not chunks[0]:
            return chunks
        kept, left = bytearray(), self._size
        for byte in chunks[0]:
            left -= byte != 0x0D
            if left < 0:
                break
            kept.append(byte)
        return bytes(kept), chunks[1]


def test_every_single_cut_of_a_successful_fix_is_lost() -> None:
    """Not one byte of the trailer may be missing."""
    for size in range(len(_WHOLE)):
        result = ScriptedSession(_CutAt(size, steps=[Say(stdout=WHOLE)], status=0)).fix(*a_fix())

        assert result.ending is FixEnding.LOST


def test_an_answer_in_single_bytes_is_the_same() -> None:
    """However small the chunks are, the result is the same."""
    whole = ScriptedSession(says(WHOLE)).fix(*a_fix())
    assert whole.ending is FixEnding.FINISHED
    process = _Dripping(steps=[Say(stdout=WHOLE)])

    assert ScriptedSession(process).fix(*a_fix()) == whole


class _Dripping(Scripted):
    """A process whose first answer comes byte by byte."""

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        chunks = super().receive(timeout_s=timeout_s)
        if self.received == 1 and chunks and len(chunks[0]) > 1:
            self.steps = [Say(), *(Say(stdout=chunks[0][at : at + 1]) for at in range(len(chunks[0])))]
            return b"", b""
        return chunks


@pytest.mark.parametrize("fails", ["send", "finish_input"])
def test_fix_whose_payload_may_have_arrived_is_lost(fails: str) -> None:
    """A link that is lost as the payload is sent leaves a fix that may have been started."""
    process = Scripted(fails=fails, is_silent=True)
    session = ScriptedSession(process)
    result = session.fix(*a_fix())

    assert (result.ending, result.exit_code) == (FixEnding.LOST, None)
    assert (process.closed, session.abandoned) == (1, 1)
    assert session.clock.now <= 1_002


def test_fix_that_was_heard_after_its_sending_failed_is_believed() -> None:
    """What the host says counts, also when the sender did not see the payload go."""
    process = Scripted(steps=[Say(stdout=WHOLE)], fails="finish_input")

    assert ScriptedSession(process).fix(*a_fix()).ending is FixEnding.FINISHED


@pytest.mark.parametrize("failure", [LinkLost("the channel did not open"), Unreachable("no route to host")])
def test_fix_that_was_not_sent_is_unreachable(failure: Exception) -> None:
    """Before the first byte of the payload is sent, nothing can have been started."""
    with pytest.raises(Unreachable, match=str(failure)):
        ScriptedSession(failure).fix(*a_fix())


def test_fix_that_the_host_refuses_is_refused() -> None:
    """A host that will not start the command has started nothing."""
    result = ScriptedSession(Refused("the password was refused")).fix(*a_fix())

    assert (result.ending, result.reason) == (FixEnding.REFUSED, "the password was refused")


def test_fix_that_never_starts_is_given_up_after_its_time() -> None:
    """Without the first line the controller waits for the start, no longer, and drops what was sent."""
    session = ScriptedSession(Scripted(is_silent=True))
    result = session.fix(*a_fix())

    assert result.ending is FixEnding.LOST
    assert session.clock.now == pytest.approx(1_000 + START_S)
    assert session.abandoned == 1


def test_fix_that_hangs_is_given_up_after_deadline_and_grace() -> None:
    """The deadline counts from the start on; the host has a grace to say that it kept it."""
    session = ScriptedSession(Scripted(steps=[Say(stdout=STARTED, after_s=40)], is_silent=True))
    result = session.fix(*a_fix(timeout_s=60))

    assert (result.ending, result.reason) == (FixEnding.LOST, "its end was not seen")
    assert session.clock.now == pytest.approx(1_000 + 40 + 60 + GRACE_S)
    assert session.within_s == [START_S + 60 + GRACE_S + DRAIN_S]
    assert session.abandoned == 0


def test_fix_that_ends_within_the_grace_is_heard() -> None:
    """A trailer that comes after the deadline, within the grace, is believed."""
    steps = [Say(stdout=STARTED), Say(stdout=line("time 124 "), after_s=60 + GRACE_S - 1)]

    assert ScriptedSession(Scripted(steps=steps)).fix(*a_fix()).ending is FixEnding.TIMED_OUT


def test_standard_error_that_comes_after_the_trailer_is_heard() -> None:
    """PowerShell writes CLIXML when it ends, after the trailer; it is decoded for people."""
    block = b'#< CLIXML\r\n<Objs xmlns="x"><S S="Error">bad_x000D__x000A_</S></Objs>'
    steps = [Say(stdout=STARTED + line("throw 1 ")), Say(stderr=block, after_s=2)]
    result = ScriptedSession(Scripted(steps=steps)).fix(*a_fix())

    assert result.stderr.kept == b"bad\n"


def test_a_child_that_goes_on_printing_holds_nobody_up() -> None:
    """After the trailer nothing is the script's, and the controller waits for the end of the streams only so long."""
    steps = [Say(stdout=STARTED + b"a" + line("exit 0 0")), Say(stdout=b"later\n", after_s=0.5)]
    process = Scripted(steps=steps, is_endless=True)
    session = ScriptedSession(process)
    result = session.fix(*a_fix())

    assert (result.ending, result.exit_code, result.stdout.kept) == (FixEnding.FINISHED, 0, b"a")
    assert session.clock.now <= 1_000 + DRAIN_S + 0.5
    assert process.closed


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_fix_that_prints_without_end_is_ended_and_lost(stream: str) -> None:
    """Too much output closes the exchange at once; without the trailer nobody knows how the fix ended."""
    flood = Say(stdout=bytes(2**20)) if stream == "stdout" else Say(stderr=bytes(2**20))
    process = Scripted(steps=[Say(stdout=STARTED), flood], is_endless=True)
    result = ScriptedSession(process).fix(*a_fix())

    assert (result.ending, result.exit_code) == (FixEnding.LOST, None)
    assert result.reason == f"it printed more than {FIX_OUTPUT_MAX} bytes; its end was not waited for"
    assert process.received == 1 + FIX_OUTPUT_MAX // 2**20 + 1
    assert process.closed
    assert len(result.stdout.kept) + len(result.stderr.kept) < 140_000


def test_fix_that_printed_much_and_said_its_end_has_that_end() -> None:
    """A trailer that was seen is believed, with a note of how much was printed."""
    flood = bytes(FIX_OUTPUT_MAX + 1)
    result = ScriptedSession(says(STARTED + flood + line("throw 1 "))).fix(*a_fix())

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 1)
    assert result.reason == f"throw: an error ended it; it printed more than {FIX_OUTPUT_MAX} bytes"


@pytest.mark.parametrize(
    "changed", [{"script": b"exit 1"}, {"script_sha256": "0" * 64}, {"execution_id": "another"}, {"host": "web-2"}]
)
def test_fix_that_was_not_permitted_is_an_error_of_ours(changed: dict[str, object]) -> None:
    """A job that differs from its permit in script, digest, execution or host contacts nobody."""
    permit, job = a_fix()
    session = ScriptedSession(says(WHOLE))
    if "host" in changed:
        session._name = str(changed["host"])
    else:
        job = replace(job, **changed)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the job is not the one that was permitted"):
        session.fix(permit, job)

    assert not session.commands


def test_fix_sends_its_script_on_standard_input_alone() -> None:
    """The command line is the same for every script; the payload goes in once and is ended."""
    process = says(WHOLE)
    session = ScriptedSession(process)
    session.fix(*a_fix(b"exit 0 # unmistakable"))

    assert session.commands == [command_line()]
    assert process.sent.endswith(b"\n")
    assert process.is_finished


# --- collectors ------------------------------------------------------------------------------------------------------

ROWS = STARTED + b'{"free": 1}\n'


@pytest.mark.parametrize(
    ("stdout", "ending", "code", "reason"),
    [
        (ROWS + line("exit 0 0"), CollectorEnding.EXITED, 0, ""),
        (ROWS + line("end 0 "), CollectorEnding.EXITED, 0, ""),
        (ROWS + line("exit 7 7"), CollectorEnding.EXITED, 7, ""),
        (ROWS + line("end 0 5"), CollectorEnding.EXITED, 5, "its last native command ended with 5"),
        (ROWS + line("throw 1 "), CollectorEnding.EXITED, 1, "throw: an error ended it"),
        (ROWS + line("parse 1 "), CollectorEnding.EXITED, 1, "parse: it is no PowerShell that this host"),
        (ROWS + line("stop 1 "), CollectorEnding.EXITED, 1, "stop: its pipeline was stopped"),
        (ROWS + line("load 1 "), CollectorEnding.EXITED, 1, "load: its loader failed; nothing of the script ran"),
        (ROWS + line("time 124 "), CollectorEnding.TIMED_OUT, None, "it did not end within its timeout"),
        (ROWS, CollectorEnding.LOST, None, "its end was not seen"),
    ],
)
def test_collector_ends_as_what_was_seen(stdout: bytes, ending: CollectorEnding, code: int | None, reason: str) -> None:
    """Each answer has one ending; only a trailer says that a collector exited, and an error is never exit code 0."""
    collected = ScriptedSession(says(stdout, stderr=b"e\n")).collect([a_collector()])
    output = collected.outputs["disk"]

    assert (output.ending, output.exit_code) == (ending, code)
    assert reason in output.reason
    assert output.stdout.kept.startswith(b'{"free": 1}')
    assert output.stderr.kept == b"e\n"
    assert collected.boot_id == "windows-0000002a"


def test_every_cut_of_a_collectors_answer_is_no_reading() -> None:
    """Rows whose trailer was not seen whole are no reading; an answer without a start is no answer."""
    whole = ROWS + line("exit 0 0")
    for size in range(len(whole.replace(NONCE, b"0" * 32))):
        session = ScriptedSession(_CutAt(size, steps=[Say(stdout=whole)], status=0))
        try:
            ending = session.collect([a_collector()]).outputs["disk"].ending
        except Unreachable:
            ending = CollectorEnding.LOST

        assert ending is CollectorEnding.LOST


@pytest.mark.parametrize(
    ("bad", "ending"),
    [
        (Scripted(steps=[Say(stdout=STARTED)], is_silent=True), CollectorEnding.LOST),
        (Scripted(is_silent=True), CollectorEnding.LOST),
        (Scripted(status=None), CollectorEnding.LOST),
        (Scripted(fails="send"), CollectorEnding.LOST),
        (says(STARTED + b"x" * (COLLECTOR_STDOUT_MAX + 1)), CollectorEnding.TOO_MUCH_OUTPUT),
        (
            Scripted(steps=[Say(stdout=STARTED), Say(stdout=bytes(2**20))], is_endless=True),
            CollectorEnding.TOO_MUCH_OUTPUT,
        ),
        (
            Scripted(steps=[Say(stdout=STARTED), Say(stderr=bytes(2**20))], is_endless=True),
            CollectorEnding.TOO_MUCH_OUTPUT,
        ),
        (says(LOADED, stderr=DAMAGED_7, status=1), CollectorEnding.LOST),
        (says(ROWS + line("throw 1 "), stderr=b"boom\n"), CollectorEnding.EXITED),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_bad_collector_spoils_only_itself(bad: Scripted, ending: CollectorEnding, at: int) -> None:
    """One that hangs, floods, fails or is not heard changes nothing for those before and after it, and is closed."""
    bad = replace(bad)
    processes = [says(ROWS + line("exit 0 0")) for _ in range(2)]
    processes.insert(at, bad)
    session = ScriptedSession(*processes)
    outputs = session.collect([a_collector(signal) for signal in ("a", "b", "c")]).outputs

    assert list(outputs) == ["a", "b", "c"]
    endings = [output.ending for output in outputs.values()]
    assert endings.pop(at) is ending
    assert endings == [CollectorEnding.EXITED, CollectorEnding.EXITED]
    assert all(process.closed == 1 for process in processes)


def test_each_collector_has_its_own_deadline() -> None:
    """A collector that hangs is waited for as long as its own timeout says, and a grace."""
    silent = [Scripted(steps=[Say(stdout=STARTED)], is_silent=True) for _ in range(2)]
    session = ScriptedSession(*silent)
    outputs = session.collect([a_collector("a", timeout_s=10), a_collector("b", timeout_s=100)]).outputs

    assert [output.ending for output in outputs.values()] == [CollectorEnding.LOST] * 2
    assert session.clock.now == pytest.approx(1_000 + 110 + 2 * GRACE_S)


def test_a_login_that_was_refused_is_not_tried_again() -> None:
    """A wrong password costs one try, however many collectors wait: a second one may lock the account."""
    session = ScriptedSession(Refused("the password was refused"), says(ROWS))
    with pytest.raises(Refused, match="the password was refused"):
        session.collect([a_collector("a"), a_collector("b")])

    assert len(session.commands) == 1


@pytest.mark.parametrize("failure", [Refused("the password was refused"), Unreachable("no route"), LinkLost("gone")])
def test_a_link_that_goes_between_collectors_loses_the_rest(failure: Exception) -> None:
    """What was heard before stays; the others are lost, each with the reason, and nothing more is tried."""
    session = ScriptedSession(says(ROWS + line("exit 0 0")), failure, says(ROWS))
    outputs = session.collect([a_collector(signal) for signal in ("a", "b", "c")]).outputs

    endings = [output.ending for output in outputs.values()]
    assert endings == [CollectorEnding.EXITED, CollectorEnding.LOST, CollectorEnding.LOST]
    assert str(failure) in outputs["b"].reason
    assert str(failure) in outputs["c"].reason
    assert len(session.commands) == 2


def test_two_collectors_in_a_row_that_were_not_heard_end_the_collection() -> None:
    """A host that has gone is not waited for once for each collector that is left."""
    silent = [Scripted(is_silent=True) for _ in range(2)]
    session = ScriptedSession(says(ROWS + line("exit 0 0")), *silent)
    outputs = session.collect([a_collector(signal) for signal in "abcdefgh"]).outputs

    assert len(outputs) == 8
    assert outputs["h"].reason.startswith("it was not started: ")
    assert session.clock.now <= 1_000 + 2 * START_S + 1


def test_collectors_that_were_not_heard_now_and_then_end_nothing() -> None:
    """One that is heard in between shows that the host is there."""
    bad, good = Scripted(is_silent=True), says(ROWS + line("exit 0 0"))
    session = ScriptedSession(*(replace(each) for each in (bad, good, bad, good)))
    outputs = session.collect([a_collector(signal) for signal in "abcd"]).outputs

    lost, exited = CollectorEnding.LOST, CollectorEnding.EXITED
    assert [output.ending for output in outputs.values()] == [lost, exited, lost, exited]


@pytest.mark.parametrize(
    ("process", "error", "message"),
    [
        (Scripted(is_silent=True), Unreachable, "PowerShell did not start in time; no collector was heard"),
        (Scripted(status=None), Unreachable, "the link was lost"),
        (says(LOADED, stderr=DAMAGED_5, status=1), Refused, "could not load the payload: payload damaged"),
        (says(b"", stderr=CONSTRAINED, status=1), Refused, "Method invocation is supported only on core types"),
        (says(line("exit 0 0")), Unreachable, "no collector was heard"),
    ],
)
def test_collection_of_which_nothing_was_heard_says_why(
    process: Scripted, error: type[Exception], message: str
) -> None:
    """The whole collection fails when no collector was heard."""
    with pytest.raises(error, match=message):
        ScriptedSession(process).collect([a_collector()])


def test_nothing_to_collect_contacts_nobody() -> None:
    """No job, no process."""
    session = ScriptedSession()

    assert not session.collect([]).outputs
    assert not session.commands


def test_a_boot_id_that_is_not_known_is_none() -> None:
    """A host that cannot tell its boot says so, and another collector's word counts."""
    unknown, known = says(line("started -") + line("exit 0 0")), says(ROWS + line("exit 0 0"))

    assert ScriptedSession(replace(unknown)).collect([a_collector()]).boot_id is None
    turned = ScriptedSession(replace(known), replace(unknown)).collect([a_collector("a"), a_collector("b")])
    assert turned.boot_id == "windows-0000002a"
    both = ScriptedSession(unknown, known).collect([a_collector("a"), a_collector("b")])
    assert both.boot_id == "windows-0000002a"


# --- questions of our own ---------------------------------------------------------------------------------------------

IDS = ("20261122T100000Z-0001-a", "20261122T100000Z-0001-b")


def _markers(*said: str, end: bytes = line("done") + line("end 0 ")) -> Scripted:
    marks = [line(f"marker {words}") for words in said]
    return says(STARTED + line("reader root 77") + b"".join(marks) + end)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("absent - - -", Marker(state=MarkerState.ABSENT)),
        (
            "started windows-00000029 - yes",
            Marker(state=MarkerState.STARTED, boot_id="windows-00000029", is_alive=True),
        ),
        ("started - - -", Marker(state=MarkerState.STARTED)),
        (
            "ended windows-00000029 -2147024891 0 -",
            Marker(state=MarkerState.ENDED, boot_id="windows-00000029", exit_code=-2147024891, over=False),
        ),
        ("ended - 124 1 -", Marker(state=MarkerState.ENDED, exit_code=124, over=True)),
        ("odd - - -", Marker(state=MarkerState.ODD)),
        ("ended - - -", Marker(state=MarkerState.ODD)),
        ("started - 3 0 -", Marker(state=MarkerState.ODD)),
        ("gone - - -", Marker(state=MarkerState.ODD)),
    ],
)
def test_a_marker_is_what_the_host_says(words: str, expected: Marker) -> None:
    """Each marker is read exactly, negative codes too; what cannot be is odd."""
    read = ScriptedSession(_markers(f"0 {words}", "1 absent - - -")).read_markers(IDS, become_root=True)

    assert read == MarkersRead(
        boot_id="windows-0000002a",
        as_root=True,
        up_s=77,
        markers={IDS[0]: expected, IDS[1]: Marker(state=MarkerState.ABSENT)},
    )


def test_a_marker_that_two_things_are_said_of_is_odd() -> None:
    """So is one that nothing is said of."""
    read = ScriptedSession(_markers("0 absent - - -", "0 started - - no")).read_markers(IDS, become_root=False)

    assert {marker.state for marker in read.markers.values()} == {MarkerState.ODD}


@pytest.mark.parametrize(
    ("process", "error"),
    [
        (_markers("0 absent - - -", end=b""), Unreachable),
        (_markers("0 absent - - -", end=line("throw 1 ")), Unreachable),
        (_markers("0 absent - - -", end=line("time 124 ")), Unreachable),
        (Scripted(steps=[Say(stdout=STARTED)], is_silent=True), Unreachable),
        (Scripted(is_silent=True), Unreachable),
        (Scripted(status=None), Unreachable),
        (says(LOADED, status=1), Refused),
        (says(b"", status=1), Refused),
    ],
)
def test_markers_that_did_not_come_whole_are_not_read(process: Scripted, error: type[Exception]) -> None:
    """An answer without its end is no answer, and it is not waited for beyond its time."""
    session = ScriptedSession(replace(process))
    with pytest.raises(error):
        session.read_markers(IDS[:1], become_root=True)

    assert session.clock.now <= 1_000 + START_S + READ_MARKERS_S


@pytest.mark.parametrize("failure", [Refused("no"), Unreachable("gone"), LinkLost("gone")])
def test_a_question_that_is_not_heard_says_why(failure: Exception) -> None:
    """What stops a connection stops a question."""
    with pytest.raises((Refused, Unreachable), match=str(failure)):
        ScriptedSession(failure).identity()


def test_a_machine_says_which_one_it_is() -> None:
    """Machine id, computer name and version come from the machine; `-` is not known."""
    said = line("machine 0f1e-2d3c") + line("name WEB-1") + line("version 5.1.17763.1 Desktop") + line("end 0 ")
    unknown = line("machine -") + line("name WEB-1") + line("end 0 ")

    assert ScriptedSession(says(said)).identity() == Identity(
        machine_id="0f1e-2d3c", computer_name="WEB-1", version="5.1.17763.1 Desktop"
    )
    assert ScriptedSession(says(unknown)).identity() == Identity(machine_id=None, computer_name="WEB-1", version=None)


def test_a_machine_that_is_cut_short_says_nothing() -> None:
    """An identity whose end was not seen is none: a name that was cut could be another machine's."""
    whole = line("machine 0f1e-2d3c") + line("name WEB-1") + line("version 7.6.5 Core") + line("end 0 ")
    for size in range(len(whole.replace(NONCE, b"0" * 32))):
        with pytest.raises(Unreachable):
            ScriptedSession(_CutAt(size, steps=[Say(stdout=whole)])).identity()


def test_a_machine_that_says_two_names_has_none() -> None:
    """Two answers are no answer."""
    said = line("name WEB-1") + line("name WEB-2") + line("end 0 ")

    assert ScriptedSession(says(said)).identity().computer_name is None
