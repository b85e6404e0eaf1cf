"""Markers and answers that are not as they should be: none is taken for an end or an absence."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from remedy.port import MarkerState
from remedy.reconciling import Reconciled
from remedy_runners.marker_payload import MARKERS_MAX, marker_of, marker_payload, reader_of
from tests.runners.machines import Host, NewId
from tests.runners.markers import BOOT_ID, NONCE, copy_marker, found_in, listing, read_markers

pytestmark = pytest.mark.sshd


_START = f"boot_id {BOOT_ID}\npid 5\nstarted_cs 1\ndeadline_s 1\n"
_WRONG_FILES: Mapping[str, Mapping[str, bytes | None]] = {
    "rc is text": {"rc": b"zero 0\n"},
    "rc is empty": {"rc": b""},
    "rc is cut": {"rc": b"0 0"},
    "rc is one number": {"rc": b"0\n"},
    "rc is too many numbers": {"rc": b"0 0 0\n"},
    "rc has two lines": {"rc": b"0 0\n0 0\n"},
    "rc is negative": {"rc": b"-1 0\n"},
    "rc is no code": {"rc": b"1000 0\n"},
    "rc is huge": {"rc": b"0" * 5_000_000},
    "rc is binary": {"rc": bytes(range(256)) + b"\n"},
    "rc speaks shell": {"rc": b"$(touch /tmp/pwned) `touch /tmp/pwned`; touch /tmp/pwned\n"},
    "start is missing": {"start": None},
    "start is rubbish": {"start": b"* /etc/* boot_id\n"},
    "start is shouting": {"start": _START.replace(BOOT_ID, BOOT_ID.upper() + "G").encode()},
    "boot id is short": {"start": _START.replace(BOOT_ID, "abc").encode()},
    "processes are rubbish": {"rc": None, "keeper": b"* *\n"},
    "no processes": {"rc": None, "keeper": None},
    "script is not known": {"rc": None, "script": None},
    "script is rubbish": {"rc": None, "script": b"1 2 3\n"},
}
"""What files of a marker hold, or (None) that they are gone."""


_WRONG_KINDS = ("a file", "a link", "a dangling link", "empty", "rc is a pipe", "rc is a folder", "rc is a link")


def _spoil(marker: Path, how: str) -> None:
    """Spoil a finished fix's marker in one way."""
    match how:
        case "a file":
            shutil.rmtree(marker)
            marker.write_text("x")
        case "a link" | "a dangling link":
            shutil.rmtree(marker)
            marker.symlink_to("/" if how == "a link" else "nowhere")
        case "empty":
            for each in marker.iterdir():
                each.unlink()
        case "rc is a pipe":
            (marker / "rc").unlink()
            os.mkfifo(marker / "rc")
        case "rc is a folder":
            (marker / "rc").unlink()
            (marker / "rc").mkdir()
        case "rc is a link":
            (marker / "rc").rename(marker / "rc-elsewhere")
            (marker / "rc").symlink_to("rc-elsewhere")
        case _:
            for name, content in _WRONG_FILES[how].items():
                if content is None:
                    (marker / name).unlink()
                else:
                    (marker / name).write_bytes(content)


def test_marker_with_rubbish_is_unknown_and_stays_as_it_is(host: Host, new_id: NewId) -> None:
    """No spoiled marker is taken for an end or an absence, none holds the look up, and others are read all the same."""
    ids = {name: new_id() for name in (*_WRONG_KINDS, *_WRONG_FILES)}
    good = new_id()
    host.session.fix(*host.fix_job(b"exit 6", execution_id=good))
    for name, execution_id in ids.items():
        copy_marker(host.markers / good, host.markers / execution_id)
        _spoil(host.markers / execution_id, name)
    before = listing(host.markers)

    read = read_markers(host, *ids.values(), good)

    found = {name: found_in(read, execution_id) for name, execution_id in ids.items()}
    assert found == dict.fromkeys(ids, Reconciled.UNKNOWN)
    assert read.markers[good].exit_code == 6
    assert listing(host.markers) == before
    assert not host.machine.path("/tmp/pwned").exists()


def test_place_of_markers_that_is_no_directory_is_odd(host: Host, new_id: NewId) -> None:
    """A file or a dangling link in the markers' place does not make their absence a fact."""
    execution_id = new_id()
    host.session.fix(*host.fix_job(b":", execution_id=new_id()))
    kept = host.markers.with_name("remedy-kept")
    host.markers.rename(kept)
    states = []
    try:
        for make in (host.markers.touch, lambda: host.markers.symlink_to("nowhere")):
            make()
            states.append(read_markers(host, execution_id).markers[execution_id].state)
            host.markers.unlink()
    finally:
        kept.rename(host.markers)

    assert states == [MarkerState.ODD, MarkerState.ODD]


def test_more_markers_or_other_names_than_can_be_are_an_error() -> None:
    """Nothing but execution ids gets into the payload, and not too many of them."""
    for ids in (["../etc"], ["a b"], ["$(id)"], [""], ["a\n"], [f"{number}" for number in range(MARKERS_MAX + 1)]):
        with pytest.raises(ValueError):
            marker_payload(ids, nonce=NONCE)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "ended",
        f"ended {BOOT_ID} - -",
        f"ended {BOOT_ID} 0 -",
        f"ended {BOOT_ID} 0 2 -",
        f"ended {BOOT_ID} 0000 0 -",
        f"ended {BOOT_ID} +1 0 -",
        f"ended {BOOT_ID} ٣ 0 -",
        f"started {BOOT_ID} 0 0 yes",
        f"started {BOOT_ID} - maybe",
        f"started {BOOT_ID}x - no",
        f"started {BOOT_ID} - no ",
        "absent",
        "absent 0 0 - - -",
        "odd",
    ],
)
def test_answer_that_is_not_exactly_one_of_ours_is_odd(said: str) -> None:
    """Whatever a host says otherwise, it is neither an end nor an absence; neither are two different answers."""
    mark = ("marker", "0", *said.split(" ", 1))
    good = ("marker", "0", "absent", "- - -")

    assert marker_of([mark], 0).state is MarkerState.ODD
    assert marker_of([mark, good], 0).state is MarkerState.ODD
    assert marker_of([good], 1).state is MarkerState.ODD
    assert marker_of([good, good], 0).state is MarkerState.ABSENT


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (("reader", "root", "12"), (True, 12)),
        (("reader", "user", "12"), (False, 12)),
        (("reader", "root", "-"), (True, None)),
        (("reader", "root", "-5"), (True, None)),
        (("reader", "root", "1" * 11), (True, None)),
        (("reader", "ROOT", "12"), (False, None)),
        (("reader", "root"), (False, None)),
        (("other",), (False, None)),
    ],
)
def test_reader_is_root_only_when_the_host_says_so(mark: tuple[str, ...], told: tuple[bool, int | None]) -> None:
    """Anything odd is no root, and an uptime that is none is not known."""
    assert reader_of([mark]) == told
