"""Scripts of rules and signals: found below the rules folder, read and hashed once."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from remedy.load.beneath import read_beneath
from remedy.load.document import Document, Route
from remedy.load.schema import Shape
from remedy.model import Platform, Script
from remedy.text import nearest, untrusted

__all__ = ["COLLECTOR_TIMEOUT_S_MAX", "FIX_TIMEOUT_S_MAX", "SCRIPT_BYTES_MAX", "load_scripts", "script_digests"]

SCRIPT_BYTES_MAX = 256 * 1024
COLLECTOR_TIMEOUT_S_MAX = 300
FIX_TIMEOUT_S_MAX = 3600
_COLLECTOR_TIMEOUT_S = 20
_FIX_TIMEOUT_S = 300
_PLATFORMS = frozenset(platform.value for platform in Platform)
_PWSH_SHEBANG = re.compile(rb"(?:\xef\xbb\xbf)?#![^\n]*\bpwsh\b")
_NOT_OF_WINDOWS = {"sh": "a shell script", "bash": "a shell script", "py": "Python"}
_BOM = b"\xef\xbb\xbf"
_REBOOT_CODES_WINDOWS = (3010,)
_REBOOT_CODE_MAX = {Platform.LINUX: 255, Platform.WINDOWS: 65_535}


def load_scripts(
    document: Document, key: str, *, root: Path, folder: Sequence[str], shape: Shape | None = None
) -> dict[Platform, Script]:
    """
    Return the scripts under `fix` or `collect`, by platform; what is wrong goes to the document's problems.

    `folder` is the rule's or signal's folder as parts below root. With a `shape`, only
    scripts of a sound form are looked at.
    """
    scripts = {}
    named = document.value([key], {})
    for name in sorted(named) if isinstance(named, dict) else ():
        if shape is not None and (name not in _PLATFORMS or not shape.is_sound(key, name)):
            continue
        script = _load_script(document, [key, name], root=root, folder=folder, platform=Platform(name))
        if script is not None:
            scripts[Platform(name)] = script
    return scripts


def script_digests(scripts: dict[Platform, Script]) -> dict[str, object]:
    """Return what a digest covers of scripts: their bytes and how they are run, not where they lie."""
    return {
        platform.value: {
            "sha256": script.sha256,
            "timeout_s": script.timeout_s,
            "become_root": script.become_root,
            "needs_reboot_codes": sorted(script.needs_reboot_codes),
        }
        for platform, script in scripts.items()
    }


def _load_script(
    document: Document, route: Route, *, root: Path, folder: Sequence[str], platform: Platform
) -> Script | None:
    is_fix = route[0] == "fix"
    at = [*route, "script"]
    timeout_s = document.duration_s(
        [*route, "timeout"],
        default_s=_FIX_TIMEOUT_S if is_fix else _COLLECTOR_TIMEOUT_S,
        most_s=FIX_TIMEOUT_S_MAX if is_fix else COLLECTOR_TIMEOUT_S_MAX,
        least_s=1,
    )
    codes = _reboot_codes(document, [*route, "needs_reboot_codes"], platform)
    become = document.value([*route, "become"])
    if become is not None and platform is not Platform.LINUX:
        document.add([*route, "become"], "is for linux only", "remove it: WinRM sessions are already elevated")
    named = document.value(at)
    if (wrong := _wrong_path(named)) is not None:
        document.add(at, *wrong)
        return None
    parts = [*folder, *named.split("/")]
    try:
        body = read_beneath(root, parts, bytes_max=SCRIPT_BYTES_MAX)
    except FileNotFoundError:
        document.add(at, f"there is no file '{named}' in {'/'.join(folder)}", _near_file(root, folder, named))
        return None
    except ValueError as exc:
        document.add(at, f"'{named}': {exc}", "put the script itself into the folder")
        return None
    if (language := _wrong_language(named, body, platform)) is not None:
        other = next(each for each in Platform if each is not platform)
        document.add(at, f"{named} is {language} by its name", f"did you mean {route[0]}.{other.value}?")
        return None
    if (wrong := _wrong_body(body, platform)) is not None:
        document.add(at, f"'{named}' {wrong[0]}", wrong[1])
        return None
    return Script(
        path="/".join(parts),
        body=body,
        sha256=hashlib.sha256(body).hexdigest(),
        timeout_s=timeout_s,
        become_root=become == "root",
        needs_reboot_codes=codes,
    )


def _reboot_codes(document: Document, route: Route, platform: Platform) -> tuple[int, ...]:
    codes = document.value(route)
    if codes is None:
        return _REBOOT_CODES_WINDOWS if platform is Platform.WINDOWS and route[0] == "fix" else ()
    most = _REBOOT_CODE_MAX[platform]
    for index, code in enumerate(codes):
        if code > most:
            document.add([*route, index], f"{code} is no exit code of {platform.value}", f"write 1 to {most}")
    return tuple(int(code) for code in codes)


def _wrong_path(named: str) -> tuple[str, str] | None:
    """Return why a script's path is refused before the disk is asked, and the cure."""
    inside = "name a file inside the rule's or signal's own folder, such as clean.sh"
    if "\0" in named:
        return "holds a NUL character", inside
    if re.match(r"[A-Za-z]:", named):
        return f"'{named}' has a drive", inside
    if "\\" in named:
        return f"'{named}' has a backslash", "separate folders with /"
    if named.startswith(("/", "~")):
        return f"'{named}' is an absolute path", inside
    parts = named.split("/")
    if ".." in parts:
        return f"'{named}' leaves its folder by '..'", inside
    if "" in parts or "." in parts:
        return f"'{named}' has an empty part or '.'", inside
    return None


def _near_file(root: Path, folder: Sequence[str], named: str) -> str:
    """Return which of the folder's scripts was meant; '' when none has a name like it."""
    within = root.joinpath(*folder)
    entries = within.iterdir() if within.is_dir() else ()
    beside = [entry.name for entry in entries if entry.suffix != ".yaml" and entry.is_file()]
    near = nearest(named, beside, most=1)
    return f"did you mean {untrusted(near[0], characters_max=80)}?" if near else ""


def _wrong_language(named: str, body: bytes, platform: Platform) -> str | None:
    """Return what language a script has by its name where its platform would not run it; None where it would."""
    if _PWSH_SHEBANG.match(body):
        return None
    suffix = named.rpartition(".")[2].casefold() if "." in named else ""
    match platform:
        case Platform.LINUX:
            return "PowerShell" if suffix == "ps1" else None
        case Platform.WINDOWS:  # There PowerShell reads every script, whatever its first line says.
            return _NOT_OF_WINDOWS.get(suffix)


def _wrong_body(body: bytes, platform: Platform) -> tuple[str, str] | None:
    if not body.strip():
        return "is empty", "write the script"
    if b"\0" in body:
        return "holds a NUL byte", "a script is text"
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as exc:
        return f"is not UTF-8 (byte {exc.start})", "save it as UTF-8"
    if platform is not Platform.LINUX:
        return None
    if body.startswith(_BOM):
        return "starts with a byte order mark", "save it as UTF-8 without BOM"
    if b"\r" in body:
        return "has Windows line endings", "save it with LF line endings"
    return None
