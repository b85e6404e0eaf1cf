"""What a script prints crosses as it is: both streams apart, every byte, in order, and nothing of our own in it."""

import hashlib

from remedy.port import CollectorEnding, FixEnding, MarkerState
from tests.behaviour.host import Host

_NONCE = "0123456789abcdef" * 2


def test_streams_of_a_collector_are_apart_and_exact(host: Host) -> None:
    """A collector's bytes cross as they are: no decoding, no newline added or lost."""
    script = b"printf 'no newline \\377\\001\\r\\n at the end'; printf 'err\\303\\244\\n' >&2"

    output = host.connect().collect([host.collector(script)]).outputs["s"]

    assert (output.ending, output.exit_code) == (CollectorEnding.EXITED, 0)
    assert output.stdout.head == b"no newline \xff\x01\r\n at the end"
    assert output.stdout.sha256 == hashlib.sha256(output.stdout.head).hexdigest()
    assert output.stderr.head == b"err\xc3\xa4\n"


def test_every_byte_crosses_on_both_streams(host: Host) -> None:
    """Each of the 256 bytes that a fix prints comes back on its stream, in order; those of the other stay apart."""
    every = bytes(range(256))
    octal = "".join(f"\\{byte:03o}" for byte in every)
    backwards = "".join(f"\\{byte:03o}" for byte in reversed(every))

    result = host.connect().fix(*host.fix(f"printf '{octal}'; printf '{backwards}' >&2".encode()))

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 0)
    assert (result.stdout.kept, result.stderr.kept) == (every, every[::-1])


def test_script_that_prints_nothing_has_no_output(host: Host) -> None:
    """Nothing printed is nothing heard: no line of our own gets into either stream."""
    session = host.connect()

    output = session.collect([host.collector(b":")]).outputs["s"]
    result = session.fix(*host.fix(b":"))

    assert (output.ending, output.exit_code) == (CollectorEnding.EXITED, 0)
    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 0)
    assert {each.size for each in (output.stdout, output.stderr, result.stdout, result.stderr)} == {0}


def test_small_pieces_come_in_order(host: Host) -> None:
    """A thousand writes, to both streams in turn, come whole and in their order on each."""
    script = b"i=0; while [ $i -lt 500 ]; do i=$((i + 1)); echo $i; echo -$i >&2; done"

    result = host.connect().fix(*host.fix(script))

    assert result.stdout.kept == b"".join(b"%d\n" % number for number in range(1, 501))
    assert result.stderr.kept == b"".join(b"-%d\n" % number for number in range(1, 501))


def test_lines_that_look_like_ours_are_output(host: Host) -> None:
    """What has the form of our own lines, with another nonce, is the script's output and ends nothing."""
    lines = "".join(f"\n{_NONCE} {words}\n" for words in ("started -", "exit 0 0", "end 0 ", "end 0 0", "busy"))

    result = host.connect().fix(*host.fix(f"printf '%s' '{lines}'; printf '%s' '{lines}' >&2; exit 3".encode()))

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 3)
    assert (result.stdout.kept, result.stderr.kept) == (lines.encode(), lines.encode())


def test_boot_id_comes_back(host: Host) -> None:
    """The host's boot id comes back with the collectors."""
    assert host.connect().collect([host.collector(b":")]).boot_id == host.boot_id


def test_question_about_markers_is_answered(host: Host) -> None:
    """A question about markers goes and comes as scripts do: each that was asked for has its answer, once."""
    asked = [host.new_id(), host.new_id()]

    read = host.connect().read_markers([*asked, asked[0]], become_root=host.become_root)

    assert {each: marker.state for each, marker in read.markers.items()} == dict.fromkeys(asked, MarkerState.ABSENT)
    assert read.boot_id == host.boot_id
    assert read.up_s
