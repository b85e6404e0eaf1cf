"""
A process that answers in frames: what a loopback server starts in the place of a program with remedy's loader.

It takes a payload from standard input as `remedy_runners.powershell.texts` says
(header, Base64 in lines), checks size and SHA-256, says `started`, runs the
script part with /bin/sh under the payload's deadline, and ends with a trailer. A
question (a literal part that only makes an empty value) is answered with marks.

It is no PowerShell and is never called one. What it proves is transport: that
bytes, codes and deadlines pass unchanged between a controller and a process
behind WinRM. It proves nothing about what it has its own version of: loader,
digest, literal part, marker, lock, hold file, values, CLIXML. Of the literal part
it reads one thing only: the two characters that tell a question from a script.
"""

import base64
import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["BOOT_ID", "MACHINE_ID", "MACHINE_NAME", "stand_in"]

MACHINE_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
MACHINE_NAME = "WEB-1"
BOOT_ID = "stand-in-0001"
_QUESTION = b"@{}"
_LOADED_NOTHING = 1
_ARGUMENT_SIZE_MAX = 100_000


def stand_in(command_line: str) -> Sequence[str]:
    """Say which process stands in for a command line: this file, for the loader's; /bin/sh for any other."""
    if command_line.startswith("powershell.exe "):
        return (sys.executable, "-I", "-S", str(Path(__file__)))
    return ("/bin/sh", "-c", command_line)


def _say(words: str) -> None:
    sys.stdout.write(f"\n{words}\n")
    sys.stdout.flush()


def _read() -> tuple[str, bytes, bytes, int] | None:
    """Return nonce, literal part, script and deadline of the payload; None when it is not whole."""
    header = sys.stdin.readline().split()
    if len(header) != 5:
        return None
    first, size, digest = int(header[1]), int(header[2]), header[3]
    text = ""
    while len(text) < 4 * -(-size // 3):
        line = sys.stdin.readline()
        if not line:
            break
        text += line.strip()
    try:
        whole = base64.b64decode(text)
    except ValueError:
        return None
    if len(whole) != size or hashlib.sha256(whole).hexdigest() != digest:
        return None
    return header[0], whole[:first], whole[first:], int(header[4])


def _answer(nonce: str, question: bytes) -> None:
    """Say what a machine says of itself, or of markers: there are none here."""
    if b'remedy_say "machine ' in question:
        _say(f"{nonce} machine {MACHINE_ID}")
        _say(f"{nonce} name {MACHINE_NAME}")
        _say(f"{nonce} version 0.0 stand-in")
    else:
        _say(f"{nonce} started {BOOT_ID}")
        _say(f"{nonce} reader root 4711")
        ids = re.search(rb"'ids'=@\((.*?)\)", question)
        for index in range(0 if ids is None else ids[1].count(b"'") // 2):
            _say(f"{nonce} marker {index} absent - - -")
        _say(f"{nonce} done")
    _say(f"{nonce} end 0 ")


def _run(script: bytes, deadline_s: int) -> tuple[str, int]:
    """Run a script with /bin/sh; return kind and code of the trailer."""
    is_large = len(script) > _ARGUMENT_SIZE_MAX
    process = subprocess.Popen(
        [b"/bin/sh", b"/dev/stdin"] if is_large else [b"/bin/sh", b"-c", script],
        stdin=subprocess.PIPE,
    )
    try:
        process.communicate(script if is_large else b"", timeout=deadline_s or None)
    except subprocess.TimeoutExpired:
        _kill_others()
        process.wait()
        return "time", 124
    return "exit", process.returncode if process.returncode >= 0 else 128 - process.returncode


def _kill_others() -> None:
    """Kill the rest of our process group, which is that of the command: what ends the shell there ends it all."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # It ended meanwhile.
            pid, group = int(path.parent.name), int(path.read_text().rpartition(") ")[2].split()[2])
            if group == os.getpid() and pid != group:
                os.kill(pid, signal.SIGKILL)


def _main() -> int:
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    payload = _read()
    if payload is None:
        sys.stderr.write("payload damaged\n")
        return _LOADED_NOTHING
    nonce, first, script, deadline_s = payload
    if first == _QUESTION:
        _answer(nonce, script)
        return 0
    _say(f"{nonce} started {BOOT_ID}")
    kind, code = _run(script, deadline_s)
    # Codes of Windows have 32 bit; a script of this stand-in writes a larger one than sh can where it is looked for.
    told = re.search(rb"^# exit code (-?[0-9]+)$", script, re.MULTILINE)
    code = int(told[1]) if told and kind == "exit" else code
    _say(f"{nonce} {kind} {code} ")
    return code & 0xFF


if __name__ == "__main__":
    sys.exit(_main())
