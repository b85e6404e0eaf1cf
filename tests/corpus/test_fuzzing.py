"""Random files: the loaders take them or refuse them with an error of ours, quickly and in little memory."""

import itertools
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.corpus.fuzzing import fuzz, mutated, seeds

_TOP = Path(__file__).parents[2]


def _fuzzed(seconds: float, seed: int, folder: Path) -> dict[str, object]:
    """Run the fuzzer as a process of its own; one that hangs is ended, and its input is in FOLDER/running."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.corpus.fuzzing", str(seconds), str(seed), str(folder)],
        cwd=_TOP,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    assert not done.returncode, done.stderr
    return dict(json.loads(done.stdout))


def test_random_files_are_loaded_or_refused(tmp_path: Path) -> None:
    """For three seconds no random file raises anything but our error, takes over 1 s of processor, or over 64 MiB."""
    ran = _fuzzed(3, 20261122, tmp_path)

    assert ran["failures"] == []
    assert int(str(ran["inputs"])) >= 20


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_random_files_are_loaded_or_refused_for_a_minute(tmp_path: Path) -> None:
    """The same for a minute, with other files each time; the seed is in the report."""
    ran = _fuzzed(60, random.SystemRandom().randrange(2**32), tmp_path)

    assert ran["failures"] == [], ran
    assert int(str(ran["inputs"])) >= 1_000


@pytest.mark.slow
def test_fuzzer_finds_what_is_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is not ours, and inputs that take too much memory or too long, are found and kept."""
    loads = itertools.count()

    def broken(_self: object, _kind: str, _path: Path) -> None:
        match next(loads):
            case 20:
                raise KeyError("planted")
            case 21:
                assert b"x" * (80 << 20)
            case 22:
                until = time.process_time() + 1.1
                while time.process_time() < until:
                    pass

    monkeypatch.setattr("tests.corpus.fuzzing._Target._load", broken)
    failures = fuzz(4, 1, tmp_path)["failures"]

    assert isinstance(failures, list)
    said = [each.partition(": ")[2] for each in failures]
    assert [each.split()[0] for each in said] == ["raised", "took", "took"]
    assert said[0] == "raised KeyError: 'planted'"
    assert int(said[1].split()[4]) >= 64
    assert float(said[2].split()[1]) > 1
    assert all(Path(each.partition(": ")[0]).exists() for each in failures)


def test_mutations_reach_every_kind_and_change_nearly_every_file() -> None:
    """There are seeds for every kind of file, and a mutation is rarely the file that it was made of."""
    found = seeds()
    chance = random.Random(1)
    changed = [mutated(chance, files) not in files for files in found.values() for _ in range(20)]

    assert set(found) >= {"rule", "signal", "tests", "remedy", ".yaml", ".ini", ".json", ".txt"}
    assert sum(changed) > len(changed) * 0.8
