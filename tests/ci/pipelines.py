"""Runs the steps of a pipeline as its runner would: bash, the environment that the step names, outputs and summary."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

__all__ = ["EXPRESSION", "Forge", "Ran", "Runner", "read_pipeline"]

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_TIMEOUT_S = 100

_GH = '''\
#!{python}
"""A stand-in for GitHub's command, with a file for the forge."""
import json, os, shutil, subprocess, sys
from pathlib import Path

forge = Path(os.environ["STUB_FORGE"])
state = json.loads((forge / "state.json").read_text())
words = sys.argv[1:]


def option(name):
    return words[words.index(name) + 1] if name in words else None


state["calls"].append(words)
(forge / "state.json").write_text(json.dumps(state))
if os.environ.get("GH_TOKEN") != "token-of-the-job":
    sys.exit("gh: no token")
if words[:2] == ["run", "download"]:
    shutil.copytree(forge / "artifacts" / words[2] / option("--name"), option("--dir"), dirs_exist_ok=True)
    sys.exit(0)
assert words[0] == "api", words
path = next(word for word in words[1:] if word.startswith("repos/"))
method = option("--method") or "GET"
if path.startswith("repos/o/r/actions/artifacts?name=remedy-readings"):
    answer = {{"artifacts": state["artifacts"]}}
elif method == "GET":
    answer = state["comments"]
else:
    if state["forbidden"]:
        sys.exit("gh: Resource not accessible by integration (HTTP 403)")
    body = Path(option("-F").removeprefix("body=@")).read_text()
    assert len(body) <= 65_536
    if method == "POST":
        assert path == "repos/o/r/issues/7/comments"
        mine = {{"login": "github-actions[bot]"}}
        state["comments"].append({{"id": 1000 + len(state["comments"]), "user": mine, "body": body}})
    else:
        number = int(path.removeprefix("repos/o/r/issues/comments/"))
        next(each for each in state["comments"] if each["id"] == number)["body"] = body
    (forge / "state.json").write_text(json.dumps(state))
    answer = None
if option("--jq"):
    subprocess.run(["jq", "-r", option("--jq")], input=json.dumps(answer), text=True, check=True)
'''
_PYTHON = """\
#!/bin/sh
# Installs nothing and notes what it was asked to install; everything else is Python.
case "$1 $2" in
"-m pip") echo "$@" >> "$STUB_INSTALLED"; exit 0 ;;
"-m venv") mkdir -p "$3/bin"; cp "$STUB_BIN/python" "$STUB_BIN/remedy" "$3/bin"; exit 0 ;;
esac
exec {python} "$@"
"""


def read_pipeline(path: Path) -> dict[str, Any]:
    """Return a pipeline as its forge reads it; `on` is a word there, and no boolean."""
    raw: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    if True in raw:
        raw["on"] = raw.pop(True)
    return raw


class Forge:
    """What a stand-in for GitHub knows: comments of one pull request, and artifacts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._write({"comments": [], "artifacts": [], "forbidden": False, "calls": []})

    @property
    def state(self) -> dict[str, Any]:
        """All of it, as it is now."""
        state: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return state

    def _write(self, state: Mapping[str, Any]) -> None:
        (self.folder / "state.json").write_text(json.dumps(state))

    @property
    def comments(self) -> list[str]:
        """The comments' texts."""
        return [each["body"] for each in self.state["comments"]]

    def forbid(self) -> None:
        """Let the token write no more."""
        self._write({**self.state, "forbidden": True})

    def comment(self, body: str, *, login: str) -> None:
        """Have somebody comment."""
        state = self.state
        state["comments"].append({"id": 1000 + len(state["comments"]), "user": {"login": login}, "body": body})
        self._write(state)

    def keep(self, name: str, file: Path, *, branch: str = "main", fork: bool = False) -> None:
        """Keep a file as an artifact of a new run."""
        state = self.state
        run = 500 + len(state["artifacts"])
        where = self.folder / "artifacts" / str(run) / name
        where.mkdir(parents=True)
        (where / "readings.jsonl").write_bytes(file.read_bytes())
        state["artifacts"].append(
            {
                "expired": False,
                "created_at": f"2026-11-22T00:00:{len(state['artifacts']):02}Z",
                "workflow_run": {
                    "id": run,
                    "head_branch": branch,
                    "repository_id": 1,
                    "head_repository_id": 2 if fork else 1,
                },
            }
        )
        self._write(state)


@dataclass(kw_only=True)
class Ran:
    """What some steps came to; `code` is that of the first that failed, else 0."""

    code: int = 0
    said: str = ""
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)


class Runner:
    """Runs steps in a checkout, with stand-ins for gh and pip, and no other name than those of the expressions."""

    def __init__(self, folder: Path, checkout: Path, forge: Forge) -> None:
        self.temp = folder / "temp"
        self.temp.mkdir(parents=True)
        self.summary = folder / "summary.md"
        self.summary.write_text("")
        self.installed = folder / "installed.txt"
        self.installed.write_text("")
        self._forge = forge
        self._checkout = checkout
        self._bin = folder / "bin"
        self._bin.mkdir()
        python = _PYTHON.format(python=sys.executable)
        remedy = f'#!/bin/sh\nexec {sys.executable} -m remedy "$@"\n'
        gh = _GH.format(python=sys.executable)
        for name, text in {"gh": gh, "python": python, "python3": python, "remedy": remedy}.items():
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)
        self.environment = {
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "REMEDY_STATE": str(folder / "state"),
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "STUB_FORGE": str(forge.folder),
            "STUB_BIN": str(self._bin),
            "STUB_INSTALLED": str(self.installed),
        }

    def run(self, steps: Sequence[Mapping[str, Any]], values: Mapping[str, str], **environment: str) -> Ran:
        """Run the steps in order until one fails; those that use an action are the caller's."""
        ran = Ran()
        for number, step in enumerate(steps):
            if "run" not in step:
                continue
            named = {name: self._value(str(text), values, ran) for name, text in step.get("env", {}).items()}
            directory = self._checkout / self._value(step.get("working-directory", "."), values, ran)
            output = self.temp / f"output-{number}"
            path = self.temp / "path"
            output.write_text("")
            path.touch()
            added = [line for line in path.read_text().splitlines() if line]
            search = os.pathsep.join([*reversed(added), self.environment["PATH"]])
            given = {**self.environment, **environment, **named, "PATH": search}
            done = self.bash(step["run"], directory, {**given, "GITHUB_OUTPUT": str(output), "GITHUB_PATH": str(path)})
            ran.said += done.stdout + done.stderr
            if "id" in step:
                ran.outputs[step["id"]] = _outputs(output.read_text())
            if done.returncode:
                ran.code = done.returncode
                break
        return ran

    def bash(self, text: str, directory: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a script as `shell: bash` does."""
        script = self.temp / "script.sh"
        script.write_text(text)
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=directory,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )

    def _value(self, text: str, values: Mapping[str, str], ran: Ran) -> str:
        """Return text with each expression replaced; one that the test does not know is an error."""
        known = {
            f"steps.{step}.outputs.{name}": said for step, each in ran.outputs.items() for name, said in each.items()
        }
        return EXPRESSION.sub(lambda found: {"runner.temp": str(self.temp), **known, **values}[found[1]], text)


def _outputs(text: str) -> dict[str, str]:
    """Return outputs as GitHub reads them."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if "<<" in line.partition("=")[0]:
            name, _, mark = line.partition("<<")
            value = []
            for each in lines:
                if each == mark:
                    break
                value.append(each)
            found[name] = "\n".join(value)
        else:
            name, _, value_text = line.partition("=")
            found[name] = value_text
    return found
