"""
A stand-in for PowerShell that proves the lane, and nothing about PowerShell.

It interprets no PowerShell: it knows the format of a payload, and the answers to a few
scripts by heart, right or wrong in the one way that LANE_STAND_IN names.
"""

import base64
import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

WRONG = os.environ.get("LANE_STAND_IN", "")
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _out(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _end(nonce: str, trailer: str, *, rc: Path | None = None) -> NoReturn:
    kind, code, *last = trailer.split()
    if rc is not None and WRONG != "no rc":
        end = last[0] if kind == "end" and last else code
        rc.write_text(f"{int(end) + (WRONG == 'other rc')} {int(kind == 'time')}\n", encoding="ascii")
    if WRONG == "child":
        subprocess.Popen(["sleep", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if WRONG == "other code":
        code = str(int(code) + 1)
    words = " ".join([kind, code, *last]) if last else f"{kind} {code} "
    if WRONG != "no trailer":
        _out(f"\n{nonce} {words}\n".encode())
    if WRONG == "hangs":
        time.sleep(600)
    sys.exit(0 if WRONG == "status 0" else int(code) % 256)


def _answer(script: str) -> tuple[bytes, str, str]:
    """Return what a script prints, on both streams, and its trailer."""
    if found := re.fullmatch(r"'a';exit (-?\d+);'not'", script):
        return b"a\n", "", f"exit {found[1]} {found[1]}"
    known = {
        "'ran'": (b"ran\n", "", "end 0"),
        "'a';sh -c 'exit 9'": (b"a\n", "", "end 0 9"),
        "function f{throw 'boom'};'a';f;'not'": (b"a\n", "Exception: boom\n", "throw 1"),
        "'a';Start-Sleep 60;'not'": (b"a\n", "", "time 124"),
        "'a'\n'b'\n}": (b"", "Unexpected token '}'\n", "parse 1"),
    }
    return known[script]


def _fix(nonce: str, before: str) -> Path:
    """Do what goes before a fix, and return where its end is written."""
    values = dict(re.findall(r"'(root|execution_id)'='([^']*)'", before))
    deadline_s = re.findall(r"'deadline_s'=(\d+)", before)[0]
    root = Path(values["root"])
    marker = root / values["execution_id"]

    def leave(words: str) -> NoReturn:
        sys.stderr.write("Exception: remedy: the script was not started\n")
        _out(f"\n{nonce} {words}\n".encode())
        _end(nonce, "load 1")

    if (root / "hold").exists() and WRONG != "no hold":
        leave("held " + (root / "hold").read_text(encoding="utf-8-sig")[:200].split("\n")[0].rstrip("\r"))
    root.mkdir(parents=True, exist_ok=True)
    lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if WRONG != "no lock":
            leave("already" if (marker / "start").exists() else "busy")
    if (marker / "start").exists() and WRONG != "twice":
        leave("already")
    marker.mkdir(exist_ok=True)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if WRONG != "no start":
        text = f"boot_id {BOOT}\npid {os.getpid()}\nborn 1\nstarted_at {now}\ndeadline_s {deadline_s}\nup_s 5\n"
        (marker / "start").write_text(text, encoding="ascii")
    end: Path = marker / "rc"
    return end


def main() -> None:
    """Answer one payload, or say what version this claims to be."""
    command = sys.argv[-1]
    if probe := re.search(r"\[long\](\d+)\*(\d+)", command):
        _out(f"7.6.5 Core {int(probe[1]) * int(probe[2])}".encode())
        sys.exit(0)
    header, *lines = sys.stdin.buffer.read().replace(b"\r", b"").split(b"\n")
    nonce, literal_size, size, digest, deadline_s = header.decode("ascii").split()
    whole = base64.b64decode(b"".join(lines))
    if (len(whole), hashlib.sha256(whole).hexdigest()) != (int(size), digest) and WRONG != "no digest":
        sys.stderr.write("Exception: payload damaged\n")
        _end(nonce, "load 1")
    before, script = whole[: int(literal_size)].decode(), whole[int(literal_size) :].decode()
    rc = _fix(nonce, before) if "'execution_id'=" in before else None
    if rc is not None:
        _out(f"\n{nonce} started {BOOT}\n".encode())
    if ran := re.findall(r"'REMEDY_PARAM_RAN',(?:@\(,)?'([^']+)'", before):
        script = script.split("\n", 1)[1]
        with Path(ran[0]).open("ab") as file:
            file.write(b"x")
    printed, stderr, trailer = _answer(re.sub(r"(?m)^#.*\n", "", script).rstrip("\n") or script)
    _out({"other output": printed + b" ", "less output": printed[:-1]}.get(WRONG, printed))
    sys.stderr.write({"noise": stderr + "noise\n", "no error": "", "colour": stderr + "\x1b[0m"}.get(WRONG, stderr))
    sys.stderr.flush()
    if trailer.startswith("time") and WRONG != "early":
        time.sleep(int(deadline_s) + 20 * (WRONG == "late"))
    _end(nonce, trailer, rc=rc)


if __name__ == "__main__":
    main()
