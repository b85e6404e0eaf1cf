"""
A fuzzer over the loaders: files of the corpus with pieces cut out, doubled, swapped and put in.

It runs as a process of its own (`python -m tests.corpus.fuzzing SECONDS SEED FOLDER`), so that
what one input costs can be measured: processor time, and how far the process's memory grew at
its highest. It prints what it came to as JSON; each input that fails is kept in FOLDER.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from remedy.errors import RemedyError
from remedy.load.cases import load_cases
from remedy.load.config import load_config
from remedy.load.doubts import Subject, doubts_of_hosts, doubts_of_rule
from remedy.load.inventory import load_inventory
from remedy.load.repository import survey_repository
from remedy.run.scopes import without_aliases
from tests.corpus.cases import Case, corpus_cases, read_case, table_cases, write_repository
from tests.load.tables import TYPES

CPU_S_MAX = 1.0
MEMORY_MIB_MAX = 64.0
_EDITS_MAX = 6
_REPEATS_MAX = 3_000
_BYTES_MAX = 400_000
_PLACES = {
    "rules/low-disk/rule.yaml": "rule",
    "rules/signals/disk/signal.yaml": "signal",
    "rules/low-disk/tests.yaml": "tests",
    "remedy.yaml": "remedy",
}
_PIECES = [
    *(b"\n", b" ", b"  ", b"\t", b":", b": ", b"- ", b"{", b"}", b"[", b"]", b"'", b'"', b"#", b"|", b">", b"\\x"),
    *(b"&a ", b"*a", b"<<: ", b"!!str ", b"? ", b"---\n", b"...\n", b"%YAML 1.1\n", b"null", b"true", b"no", b"22:22"),
    *(b"0x1F", b".inf", b"-1", b"1e308", b"9" * 40, b"10%", b"5m", b"[1, 20%]", b"a: b\n", b"\r\n"),
    *(b"\0", b"\xff", b"\xe2\x80\xae", b"\xef\xbb\xbf", b"{{ x }}", b"~(a+)+", b"a=1 ", b"web[1:9]"),
    *(b"all:\n", b"hosts:\n", b"[web:vars]\n", b"[web:children]\n", b"params.", b" and ", b" or ", b"not ", b"(", b")"),
    *(b" between 1 and ", b" in (", b" like '%'", b" / 0", b"abs("),
]


def seeds() -> dict[str, list[bytes]]:
    """Return the files of the corpus and of its tables, by what loads them."""
    found: dict[str, list[bytes]] = {}
    paths = [path for kind in ("invalid", "doubtful", "valid") for path in corpus_cases(kind)]
    for case in (*table_cases(), *(read_case(path) for path in paths)):
        for place, body in case.files.items():
            kind = _PLACES.get(place) or (Path(place).suffix if place.startswith("inventory.") else "")
            if kind and body is not None:
                found.setdefault(kind, []).append(body)
    return found


def mutated(chance: random.Random, files: list[bytes]) -> bytes:
    """Return one of the files with a few random edits."""
    text = chance.choice(files)
    for _ in range(chance.randint(1, _EDITS_MAX)):
        start = chance.randint(0, len(text))
        end = min(len(text), start + chance.choice((0, 1, 3, 10, 40, 200)))
        other = chance.choice(files)
        cut = chance.randint(0, len(other))
        match chance.randrange(7):
            case 0:
                piece = b""
            case 1 | 2:
                piece = chance.choice(_PIECES)
            case 3:
                piece = text[start:end] + chance.choice(_PIECES) + text[start:end]
            case 4:
                piece = other[cut : cut + chance.choice((5, 30, 200))]
            case 5:
                piece = bytes([chance.randrange(256)])
            case _:
                times = chance.choice((2, 10, 100, _REPEATS_MAX))
                piece = (
                    chance.choice((chance.choice(_PIECES), text[start:end], b"- " + text[start:end] + b"\n")) * times
                )
        text = (text[:start] + piece + text[end:])[:_BYTES_MAX]
    return text


class _Target:
    """A repository in which one file after another is put at its place and loaded."""

    def __init__(self, folder: Path) -> None:
        write_repository(Case(name="", fact="", files={}, says=()), folder)
        self._folder = folder
        self._places = {kind: folder / place for place, kind in _PLACES.items()}
        self._kept = {kind: path.read_bytes() for kind, path in self._places.items() if path.exists()}

    def load(self, kind: str, text: bytes) -> None:
        """Load a file as what it is; only what is not ours is raised."""
        path = self._places.get(kind, self._folder / f"inventory{kind}")
        path.write_bytes(text)
        try:
            with suppress(RemedyError):
                self._load(kind, path)
        finally:
            if kind in self._kept:
                path.write_bytes(self._kept[kind])
            else:
                path.unlink()

    def _load(self, kind: str, path: Path) -> None:
        if kind == "remedy":
            load_config(self._folder, environment={}, system_file=self._folder / "none.yaml", noted=[])
        elif kind.startswith("."):
            inventory = load_inventory(str(path), types=TYPES)
            list(doubts_of_hosts(inventory, without_aliases(inventory)))
        else:
            survey = survey_repository(self._folder / "rules")
            assert all(str(problem) for problem in survey.problems)
            for name, rule in survey.repository.rules.items():
                signal, document = survey.repository.signals[rule.signal], survey.documents[name]
                list(doubts_of_rule(Subject(rule=rule, document=document, signal=signal, cases=())))
            if kind == "tests":
                load_cases(path, survey.repository, survey.repository.rules["low-disk"])


def _memory_mib(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


def _measured(load: Callable[[], None]) -> tuple[float, float]:
    """Return processor time (s) and how far memory grew at its highest (MiB)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # The peak begins anew. Source: proc(5).
    before = _memory_mib("VmRSS")
    start = time.process_time()
    load()
    return time.process_time() - start, _memory_mib("VmHWM") - before


def fuzz(seconds: float, seed: int, folder: Path) -> dict[str, object]:
    """Load random files for so long; return how many there were, what the worst cost, and which failed."""
    chance = random.Random(seed)
    files = seeds()
    target = _Target(folder / "here")
    for kind, texts in files.items():
        target.load(kind, texts[0])
    ends = time.monotonic() + seconds
    inputs, slowest_s, largest_mib = 0, 0.0, 0.0
    failures: list[str] = []
    while time.monotonic() < ends and len(failures) < 10:
        kind = chance.choice(sorted(files))
        text = mutated(chance, files[kind])
        (folder / "running").write_bytes(text)  # For whoever finds this process hanging.
        wrong = ""
        cpu_s = memory_mib = 0.0
        try:
            cpu_s, memory_mib = _measured(lambda kind=kind, text=text: target.load(kind, text))  # type: ignore[misc]
        except Exception as exc:  # noqa: BLE001 - that nothing else is raised is what is tried here.
            wrong = f"raised {type(exc).__name__}: {exc}"
        if cpu_s > CPU_S_MAX or memory_mib > MEMORY_MIB_MAX:
            wrong = f"took {cpu_s:.2f} s and {memory_mib:.0f} MiB"
        inputs += 1
        slowest_s, largest_mib = max(slowest_s, cpu_s), max(largest_mib, memory_mib)
        if wrong:
            kept = folder / f"failed-{seed}-{inputs}{kind if kind.startswith('.') else f'.{kind}.yaml'}"
            kept.write_bytes(text)
            failures.append(f"{kept}: {wrong}")
    return {"inputs": inputs, "slowest_s": slowest_s, "largest_mib": largest_mib, "seed": seed, "failures": failures}


if __name__ == "__main__":
    print(json.dumps(fuzz(float(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
