"""A rule and a signal whose scripts get secrets, and print them in every form to everything they can."""

from pathlib import Path

TOKEN = "tök'n-\"9f$A/b&<c>+d=e%20`x\\y"
"""The rule's secret: each character of it is escaped by somebody."""

KEY = "-----BEGIN PLANTED KEY-----\nMIIEowIBAAKCAQEAplantedA\nq8Zr5PLANTEDb0fxQ==\n-----END PLANTED KEY-----"
"""The rule's secret on one host: several lines, from a file."""

PASSWORD = "c0llect0r-pa55w0rd"
"""The signal's secret."""

_SIGNAL = """\
signal: flag
title: A number that a test planted
columns: {level: number, note: text}
params: {password: {secret: env:PLANTED_PASSWORD}, place: /run}
collect:
  linux: {script: linux.sh, timeout: 5s}
"""
_COLLECTOR = """\
#!/bin/sh
echo "login with $REMEDY_PARAM_PASSWORD" >&2
level=$(cat "$REMEDY_PARAM_PLACE/level") || exit 3
note=$(cat "$REMEDY_PARAM_PLACE/note" 2>/dev/null)
if [ "$note" = leak ]; then note=$REMEDY_PARAM_PASSWORD; fi
if [ "$note" = fail ]; then printf 'it failed: %s\\n' "$REMEDY_PARAM_PASSWORD" >&2; exit 9; fi
emit level "$level" note "$note"
"""
_RULE = """\
rule: flag-high
title: The planted number is high
why: So that something can be mended.
owner: tests@example.org
mode: fix
hosts: all
signal: flag
params: {above: 5, token: {secret: env:PLANTED_TOKEN}, place: /run}
when: level > params.above
fix:
  linux: {script: lower.py, timeout: 20s}
risk: safe
verify: {until: level < 3, settle: 0s, within: 2s}
limits: {cooldown: 6h, matched: [6, 100%]}
rollout: {waves: [100%], soak: 0s, max_bad: 9}
"""
_FIX = r"""#!/usr/bin/env python3
import base64, glob, html, json, os, shlex, subprocess, sys, urllib.parse

token, place = os.environ["REMEDY_PARAM_TOKEN"], os.environ["REMEDY_PARAM_PLACE"]
raw = token.encode()
forms = [
    token,
    json.dumps(token),
    json.dumps(token, ensure_ascii=False),
    json.dumps({"nested": json.dumps({"token": token})}),
    repr(token),
    urllib.parse.quote(token),
    urllib.parse.quote(token, safe=""),
    urllib.parse.quote_plus(token).lower() if token.islower() else urllib.parse.quote_plus(token),
    html.escape(token),
    html.escape(token, quote=False),
    shlex.quote(token),
    token.replace("'", "''"),
    token.replace("'", r"'\''"),
    raw.hex(),
    *(base64.b64encode(b"u" * before + b":" + raw).decode() for before in range(3)),
    *(base64.urlsafe_b64encode(b"u" * before + raw).decode() for before in range(3)),
    base64.b64encode(token.encode("utf-16-le")).decode(),
    base64.encodebytes(raw * 3).decode(),
    *(line for line in token.splitlines()),
    subprocess.run(["sh", "-xc", ': "$REMEDY_PARAM_TOKEN"'], capture_output=True, text=True).stderr,
]
with open(place + "/forms", "w") as file:
    json.dump(forms, file)
names = glob.glob("/proc/[0-9]*/cmdline")
seen = 0
for name in names:
    try:
        with open(name, "rb") as file:
            seen += token.splitlines()[0].encode() in file.read()
    except OSError:
        pass
print(f"looked at {len(names)} command lines, {seen} with a secret in it")
print(f"{sum(name.startswith('PLANTED') for name in os.environ)} variables of remedy's own")
out = 0
for form in forms:
    for stream in (sys.stdout, sys.stderr):
        print(form, file=stream, flush=True)
    out += len(form.encode()) + 1
# One stands where the head that is kept ends, one where the tail begins.
half = len(raw) // 2
sys.stdout.write("x" * (65_536 - 114 - out - half) + token + "y" * 90_000 + token + "z" * (65_536 - half))
sys.stdout.flush()
# And one comes in pieces.
for character in token:
    print(character, end="", file=sys.stderr, flush=True)
print(file=sys.stderr)
if os.path.exists(place + "/fails"):
    print(f"error: the service said no to {token}", file=sys.stderr)
    sys.exit(f"login {base64.b64encode(b'me:' + raw).decode()} failed")
with open(place + "/level", "w") as file:
    file.write("0\n")
"""


def write_planted_repository(directory: Path) -> None:
    """Write the rule and the signal below a directory."""
    rule, signal = directory / "rules" / "flag-high", directory / "rules" / "signals" / "flag"
    for folder in (rule, signal):
        folder.mkdir(parents=True, exist_ok=True)
    (rule / "rule.yaml").write_text(_RULE)
    (rule / "lower.py").write_text(_FIX)
    (signal / "signal.yaml").write_text(_SIGNAL)
    (signal / "linux.sh").write_text(_COLLECTOR)
