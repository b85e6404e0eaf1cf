"""The cases of the starter scripts for Windows: data in `rules/`, run with stand-ins for the commands of Windows."""

import json
import os
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Heard, Run, Wrong, shown

__all__ = ["cases", "scripts"]

FOLDER = Path(__file__).with_name("rules")
RULES = Path(__file__).parents[2] / "rules"
_FILE_KEYS = {"script", "stand_ins", "cases", "environment"}
_CASE_KEYS = {"case", "stand_ins", "environment", "files", "expect", "needs"}
_EXPECT_KEYS = {"exit", "rows", "not_applicable", "stdout", "stderr", "done", "gone", "left"}
_NEEDS = {"sh", "user"}


def _loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def scripts() -> set[str]:
    """Return the shipped PowerShell scripts, below `rules/`."""
    return {path.relative_to(RULES).as_posix() for path in RULES.rglob("*.ps1")}


def _columns(script: str) -> Mapping[str, str]:
    """Return the columns of the signal that a script collects."""
    raw = _loaded((RULES / script).with_name("signal.yaml"))["columns"]
    return {name: each if isinstance(each, str) else each["type"] for name, each in raw.items()}


def _check_keys(what: str, found: Mapping[str, Any], known: set[str]) -> None:
    if odd := sorted(set(found) - known):
        raise ValueError(f"{what}: {', '.join(odd)} means nothing here")


def _text(document: Mapping[str, Any], case: Mapping[str, Any], *, left: int, right: int) -> bytes:
    # A case may expect no output at all; the product shows that something calculated.
    parts = [f'[Console]::Write("product $([long]{left}*{right})`n")']
    parts += [(FOLDER / "stand_ins.ps1").read_text(encoding="utf-8")]
    parts += [document.get("stand_ins") or "", case.get("stand_ins") or ""]
    parts.append((RULES / document["script"]).read_text(encoding="utf-8-sig"))
    return "\n".join(parts).encode("utf-8")


def _case(document: Mapping[str, Any], case: Mapping[str, Any]) -> Case:
    script = document["script"]
    is_collector = script.startswith("signals/")
    expect = case["expect"]

    def act(bench: Bench) -> None:
        folder = bench.folder / "scratch"
        folder.mkdir()
        for file in case.get("files") or ():
            _plant(folder, **file)
        left, right = secrets.randbelow(10**6), secrets.randbelow(10**6)
        environment = {**(document.get("environment") or {}), **(case.get("environment") or {}), "SCRATCH": str(folder)}
        heard = bench.run(
            Run(
                kind="collector" if is_collector else "fix",
                script=_text(document, case, left=left, right=right),
                environment={name: str(value) for name, value in environment.items()},
                columns=_columns(script) if is_collector else {},
            )
        )
        _judge(bench, heard, expect, folder, product=left * right)

    return Case(group=f"rule {script}", name=case["case"], act=act, needs=frozenset(case.get("needs") or ()))


def _plant(folder: Path, *, path: str, age_days: float = 0, size: int = 0) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        file.truncate(size)
    at = time.time() - age_days * 86_400
    os.utime(target, (at, at))


def _judge(bench: Bench, heard: Heard, expect: Mapping[str, Any], folder: Path, *, product: int) -> None:
    first, _, printed = heard.printed.partition(b"\n")
    bench.check("the first line, which the lane put before the script", first, f"product {product}".encode())
    bench.check("whether the script was started", heard.has_started, True)
    code = _code(heard)
    bench.check(f"the exit code, by the trailer {heard.trailer!r}", code, expect["exit"])
    bench.says(heard, "finished" if heard.run.kind == "fix" else "exited", exit_code=expect["exit"])
    bench.check("whether the process ended, and what it left", (heard.has_ended, heard.left), (True, ()))
    if heard.run.kind == "collector":
        _judge_rows(bench, printed, expect)
    done = folder / "done"
    for what, raw in (("stdout", printed), ("stderr", heard.stderr)):
        text = raw.decode("utf-8", "backslashreplace")
        for each in expect.get(what) or ():
            if _bare(str(each)) not in _bare(text):
                bench.problems.append(f"{what}, which must hold\n  expected {each!r}\n  got      {shown(text)}")
    if "done" in expect:
        _judge_done(bench, done.read_text(encoding="utf-8").splitlines() if done.exists() else [], expect["done"] or [])
    for what, is_there in (("gone", False), ("left", True)):
        for each in expect.get(what) or ():
            bench.check(f"whether {each} is there", (folder / each).exists(), is_there)


def _bare(text: str) -> str:
    return re.sub(r"[\s|]+", "", text)


def _code(heard: Heard) -> int | None:
    kind, code, *last = (heard.trailer or "none").split() + ([] if heard.trailer else ["0"])
    if kind in ("none", "time", "load", "parse"):
        return None
    return int(last[0]) if kind == "end" and last else int(code)


def _judge_done(bench: Bench, got: list[str], expected: list[str]) -> None:
    patterns = [".*".join(map(re.escape, str(each).split("*"))) for each in expected]
    if len(got) != len(patterns) or not all(re.fullmatch(one, line) for one, line in zip(patterns, got, strict=True)):
        bench.problems.append(f"what it did\n  expected {shown(expected)}\n  got      {shown(got)}")


def _judge_rows(bench: Bench, printed: bytes, expect: Mapping[str, Any]) -> None:
    try:
        rows = [json.loads(line) for line in printed.decode("utf-8").splitlines() if line]
    except ValueError as exc:
        if "rows" in expect or "not_applicable" in expect or not expect["exit"]:
            raise Wrong(f"it printed what is no row: {exc}") from exc
        return
    if "not_applicable" in expect:
        reason = rows[0].get("not_applicable", "") if len(rows) == 1 else ""
        if len(rows) != 1 or str(expect["not_applicable"]) not in reason or not reason:
            bench.problems.append(f"not_applicable\n  expected {expect['not_applicable']!r}\n  got      {shown(rows)}")
        return
    wanted = expect.get("rows") or []
    if "rows" not in expect and not expect["exit"]:
        return
    if len(rows) != len(wanted) or not all(_is_row(row, one) for row, one in zip(rows, wanted, strict=True)):
        bench.problems.append(f"the rows\n  expected {shown(wanted)}\n  got      {shown(rows)}")


def _is_row(row: Any, wanted: Mapping[str, Any]) -> bool:
    return (
        isinstance(row, dict) and set(row) == set(wanted) and all(_is_value(row[name], wanted[name]) for name in wanted)
    )


def _is_value(got: object, wanted: object) -> bool:
    if isinstance(wanted, Mapping):
        is_number = isinstance(got, int | float) and not isinstance(got, bool)
        return is_number and wanted["from"] <= got <= wanted["to"]
    if isinstance(got, bool) or isinstance(wanted, bool) or got is None or wanted is None:
        return got is wanted
    return got == wanted


def cases() -> list[Case]:
    """
    Return the cases of every file.

    Raises:
        ValueError: a file has a key that means nothing, or a script has no file.
    """
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        document = _loaded(path)
        _check_keys(path.name, document, _FILE_KEYS)
        for case in document["cases"]:
            _check_keys(f"{path.name}, {case.get('case')}", case, _CASE_KEYS)
            _check_keys(f"{path.name}, {case['case']}", case["expect"], _EXPECT_KEYS)
            if set(case.get("needs") or ()) - _NEEDS:
                raise ValueError(f"{path.name}, {case['case']}: needs are {', '.join(sorted(_NEEDS))}")
            found.append(_case(document, case))
    return found
