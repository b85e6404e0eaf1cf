"""A small folder of rules to lint, and a command line in another folder."""

from collections.abc import Mapping
from pathlib import Path

from tests.cli.command_line import CommandLine

__all__ = ["inside", "write_repository"]

_SIGNAL = "signal: load\ntitle: Load\nkey: [name]\ncolumns: {name: text, level: number}\nparams: {names: ''}\n"
_SIGNAL += "collect: {linux: {script: linux.sh}, windows: {script: windows.ps1}}\n"
_RULE = "rule: high\ntitle: High\nwhy: It is.\nowner: a@example.org\nmode: fix\nhosts: all\nsignal: load\n"
_RULE += "params: {above: 5}\nwhen: level > params.above\nfix: {linux: {script: SCRIPT}}\nrisk: safe\nverify: later\n"


def write_repository(root: Path, files: Mapping[str, str] | None = None, *, script: str = "mend.sh") -> Path:
    """Write one signal and one rule, whose fix is `script`; `files` are put in their places or beside them."""
    written = {
        "signals/load/signal.yaml": _SIGNAL,
        "signals/load/linux.sh": 'emit name a level "$REMEDY_PARAM_NAMES"\n',
        "signals/load/windows.ps1": "emit name $Remedy.params.names level 3\n",
        "high/rule.yaml": _RULE.replace("SCRIPT", script),
        f"high/{script}": 'systemctl restart "$REMEDY_ROW_NAME"\n',
        **(files or {}),
    }
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def inside(here: CommandLine, folder: str) -> CommandLine:
    """Return the same command line in a folder below."""
    below = CommandLine.__new__(CommandLine)
    below.directory, below.state, below.environment = here.directory / folder, here.state, here.environment
    return below
