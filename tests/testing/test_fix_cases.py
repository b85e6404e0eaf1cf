"""Cases of scripts in tests.yaml: what they may say, and one message for each mistake at its place."""

from pathlib import Path

import pytest

from remedy.cage import EntryKind
from remedy.errors import FilesError
from remedy.load.cases import read_tests
from remedy.load.fix_cases import CollectCase, FixCase, load_collect_cases, load_fix_cases
from remedy.load.repository import load_repository, starter_rules
from remedy.model import Platform
from remedy.port import FixEnding

_REPOSITORY = load_repository(starter_rules())
_RULE = _REPOSITORY.rules["low-disk"]
_SIGNAL = _REPOSITORY.signals["disk"]


def _fixes(tmp_path: Path, text: str, rule: str = "low-disk") -> tuple[FixCase, ...]:
    path = tmp_path / "tests.yaml"
    path.write_text(text)
    document, is_sound = read_tests(path)
    cases = load_fix_cases(document, _REPOSITORY.signals, _REPOSITORY.rules[rule]) if is_sound else ()
    if document.problems:
        raise FilesError(document.problems)
    return cases


def _collectors(tmp_path: Path, text: str) -> tuple[CollectCase, ...]:
    path = tmp_path / "tests.yaml"
    path.write_text(text)
    document, is_sound = read_tests(path)
    cases = load_collect_cases(document, _SIGNAL) if is_sound else ()
    if document.problems:
        raise FilesError(document.problems)
    return cases


def test_case_of_a_fix_is_read_whole(tmp_path: Path) -> None:
    """Row, parameters, files of each kind, volumes, programs, and all that may be expected."""
    [case] = _fixes(
        tmp_path,
        """\
- fix: all of it
  row: {mount: /srv, free_gib: 1}
  params: {min_age_days: 3}
  files:
    /etc/text: "on\\n"
    /var/log/a.1: {size: 2 KiB, age: 10d, mode: "0600"}
    /srv/folder: {folder: true}
    /srv/link: {link: /etc/text}
  volumes: {/srv: 8 MiB}
  programs: {apt-get: "true"}
  needs: [openssl]
  without: [timeout]
  idempotent: false
  expect:
    exit_code: 1
    output: [refused]
    files:
      /var/log/a.1: gone
      /etc/text: same
      /run/state: any
      /etc/motd: {text: "hello\\n", mode: "0644"}
      /srv/new: {link: /etc}
      /srv/made: {folder: true}
      /srv/notes: {contains: [one, two]}
""",
    )

    assert (case.name, case.owner, case.platform) == ("all of it", "low-disk", Platform.LINUX)
    assert case.row == {"mount": "/srv", "size_gib": None, "free_gib": 1.0, "free_percent": None}
    assert case.params == {"below_percent": 10.0, "below_gib": 20.0, "min_age_days": 3.0}
    files = {
        each.path: (each.kind, each.text, each.size, each.target, each.mode, each.age_s) for each in case.machine.files
    }
    assert files == {
        "/etc/text": (EntryKind.FILE, b"on\n", 0, "", None, 0),
        "/var/log/a.1": (EntryKind.FILE, b"", 2048, "", 0o600, 864_000),
        "/srv/folder": (EntryKind.FOLDER, b"", 0, "", None, 0),
        "/srv/link": (EntryKind.LINK, b"", 0, "/etc/text", None, 0),
    }
    assert case.machine.volumes == {"/srv": 8 * 1024**2}
    assert case.machine.programs == {"apt-get": "true"}
    assert (case.machine.needed, case.machine.without) == (("openssl",), ("timeout",))
    assert (case.runs, case.ending, case.exit_code, case.output) == (1, FixEnding.FINISHED, 1, ("refused",))
    states = {path: expected.state for path, expected in case.files.items()}
    assert list(states.values()) == ["gone", "same", "any", "", "", "", ""]
    assert (case.files["/etc/motd"].text, case.files["/etc/motd"].mode) == (b"hello\n", 0o644)
    assert case.files["/srv/new"].link == "/etc"
    assert case.files["/srv/made"].is_folder
    assert case.files["/srv/notes"].contains == ("one", "two")
    assert case.files["/srv/notes"].place.line == 24


def test_fix_is_run_twice_unless_it_says_otherwise(tmp_path: Path) -> None:
    """A fix is promised to be idempotent, so its case runs it twice; one that never ends by itself runs once."""
    twice, once = _fixes(tmp_path, "- {fix: a, expect: {}}\n- {fix: b, expect: {ending: timed_out}}\n")

    assert (twice.runs, twice.exit_code) == (2, 0)
    assert (once.runs, once.ending) == (1, FixEnding.TIMED_OUT)


def test_shared_memory_can_be_prepared_and_expected(tmp_path: Path) -> None:
    """What lies in /dev/shm is compared, and so a case can name it."""
    [case] = _fixes(tmp_path, "- {fix: a, files: {/dev/shm/a: x}, expect: {files: {/dev/shm/a: gone}}}\n")

    assert [each.path for each in case.machine.files] == list(case.files) == ["/dev/shm/a"]


def test_case_of_a_collector_is_read_whole(tmp_path: Path) -> None:
    """Rows with null for what is left out, or why there are none."""
    rows, failed, absent = _collectors(
        tmp_path,
        """\
- {collect: a, params: {mounts: [/srv]}, expect: {rows: [{mount: /srv, free_gib: 1}]}}
- {collect: b, expect: {failed: bad}}
- {collect: c, expect: {not_applicable: none}}
""",
    )

    assert rows.rows == ({"mount": "/srv", "size_gib": None, "free_gib": 1.0, "free_percent": None},)
    assert rows.params == {"mounts": ("/srv",)}
    assert (failed.rows, failed.failed, absent.not_applicable) == (None, "bad", "none")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {fix: a}", "1:3: case 1: the key `expect` is missing; add `expect:`, what must come of it"),
        ("- {fix: a, expects: {}, expect: {}}", "1:12: unknown key `expects` in case 1; did you mean `expect`?"),
        ("- {fix: a, expect: {exit: 1}}", "1:21: unknown key `exit` in case 1, expect; did you mean `exit_code`?"),
        ("- {fix: a, row: {mont: /}, expect: {}}", "1:18: unknown column `mont`; did you mean `mount`?"),
        ("- {fix: a, row: {mount: 1}, expect: {}}", "1:25: case 1, row.mount: must be text, not a number"),
        (
            "- {fix: a, params: {min_age: 1}, expect: {}}",
            "1:21: unknown parameter `min_age`; did you mean `min_age_days`?",
        ),
        (
            "- {fix: a, params: {min_age_days: x}, expect: {}}",
            "1:35: case 1, params.min_age_days: must be a number, not text",
        ),
        (
            "- {fix: a, files: {tmp/a: x}, expect: {}}",
            "1:20: the key `tmp/a` in case 1, files must be an absolute path",
        ),
        (
            "- {fix: a, files: {/tmp/../a: x}, expect: {}}",
            "1:20: '/tmp/../a' is no plain path; write an absolute path without",
        ),
        ("- {fix: a, files: {/tmp/a/: x}, expect: {}}", "1:20: '/tmp/a/' is no plain path"),
        ("- {fix: a, files: {/dev/sda: x}, expect: {}}", "1:20: /dev/sda is made by the kernel or by the cage itself"),
        (
            "- {fix: a, files: {/.host/usr/a: x}, expect: {}}",
            "1:20: /.host/usr/a is made by the kernel or by the cage itself",
        ),
        (
            "- {fix: a, files: {/tmp/a: {size: 1 GiB}}, expect: {}}",
            "1:35: case 1, files./tmp/a.size: must be a number of bytes",
        ),
        (
            "- {fix: a, files: {/tmp/a: {size: 65 MiB}}, expect: {}}",
            "1:35: case 1, files./tmp/a.size: 65 MiB is more than 64 MiB",
        ),
        ("- {fix: a, files: {/tmp/a: {age: old}}, expect: {}}", "1:34: case 1, files./tmp/a.age: 'old' is no duration"),
        (
            "- {fix: a, files: {/tmp/a: {mode: rw}}, expect: {}}",
            "1:35: case 1, files./tmp/a.mode: must be permissions in quotes",
        ),
        (
            "- {fix: a, files: {/tmp/a: {link: /b, text: x}}, expect: {}}",
            "cannot be a link and something else; keep one of them",
        ),
        (
            "- {fix: a, volumes: {/srv: much}, expect: {}}",
            "1:28: case 1, volumes./srv: must be a number of bytes such as 8 MiB",
        ),
        ("- {fix: a, volumes: {/usr/share: 1 MiB}, expect: {}}", "volumes./usr/share: cannot be a volume: programs"),
        ("- {fix: a, volumes: {/proc: 1 MiB}, expect: {}}", "volumes./proc: cannot be a volume: programs"),
        ("- {fix: a, volumes: {/dev/shm/a: 1 MiB}, expect: {}}", "volumes./dev/shm/a: cannot be a volume: programs"),
        (
            "- {fix: a, files: {/proc/x: {link: /a}}, expect: {}}",
            "files./proc/x: cannot be a link: in /proc only files",
        ),
        (
            "- {fix: a, programs: {a/b: x}, expect: {}}",
            "1:23: the key `a/b` in case 1, programs must be the name of a program",
        ),
        (
            "- {fix: a, without: [df], needs: [df], expect: {}}",
            "1:22: case 1, without[0]: df is given to the case as well",
        ),
        (
            "- {fix: a, expect: {files: {/tmp/a: gon}}}",
            "1:37: case 1, expect.files./tmp/a: must be gone, same or any, not 'gon'",
        ),
        (
            "- {fix: a, expect: {ending: finish}}",
            "1:29: case 1, expect.ending: must be finished, timed_out, host_hold or refused",
        ),
        (
            "- {fix: a, expect: {ending: timed_out, exit_code: 1}}",
            "1:51: case 1, expect.exit_code: there is none when it ends as",
        ),
        ("- {fix: a, platform: bsd, expect: {}}", "1:22: case 1, platform: must be linux or windows, not 'bsd'"),
        ("- {fix: a, expect: {}}\n- {fix: a, expect: {}}", "2:9: case 2, fix: another case has this name, at line 1"),
        (
            "- {collect: a, expect: {rows: []}}",
            "1:13: case 1, collect: a case of a collector stands beside its signal.yaml",
        ),
    ],
)
def test_mistake_in_a_case_of_a_fix_has_one_message_at_its_place(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake is one problem, with line and column, and what is allowed."""
    with pytest.raises(FilesError) as caught:
        _fixes(tmp_path, text + "\n")

    [problem] = caught.value.problems
    assert said in str(problem).removeprefix(f"{tmp_path}/tests.yaml:")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "- {collect: a, expect: {}}",
            "1:24: case 1, expect: does not say what is read; add rows, failed or not_applicable",
        ),
        ("- {collect: a, expect: {rows: [], failed: x}}", "1:43: case 1, expect.failed: cannot stand beside rows"),
        ("- {collect: a, expect: {rows: [{mount: /, free: 1}]}}", "1:43: unknown column `free`"),
        (
            "- {collect: a, params: {mount: [/]}, expect: {rows: []}}",
            "1:25: unknown parameter `mount`; did you mean `mounts`?",
        ),
        ("- {fix: a, expect: {}}", "1:9: case 1, fix: stands beside a rule.yaml; move it to the tests.yaml of a rule"),
        ("- {collect: a, platform: windows, needs: [x y], expect: {rows: []}}", "must be the name of a program"),
    ],
)
def test_mistake_in_a_case_of_a_collector_has_one_message_at_its_place(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake is one problem, with line and column, and what is allowed."""
    with pytest.raises(FilesError) as caught:
        _collectors(tmp_path, text + "\n")

    [problem] = caught.value.problems
    assert said in str(problem).removeprefix(f"{tmp_path}/tests.yaml:")


def test_platform_without_a_fix_is_a_mistake(tmp_path: Path) -> None:
    """A rule that only observes has no fix that could be tested."""
    with pytest.raises(FilesError, match=r"1:3: case 1, platform: the rule low-inodes has no fix for linux"):
        _fixes(tmp_path, "- {fix: a, expect: {}}\n", rule="low-inodes")


def test_every_script_of_the_starter_rules_for_linux_has_a_case() -> None:
    """No fix and no collector for Linux that is shipped is without a case of its own."""
    without = []
    root = starter_rules()
    for name, rule in _REPOSITORY.rules.items():
        document, _ = read_tests(root / name / "tests.yaml")
        fixes = load_fix_cases(document, _REPOSITORY.signals, rule)
        if Platform.LINUX in rule.fix and not any(case.platform is Platform.LINUX for case in fixes):
            without.append(name)
    for name, signal in _REPOSITORY.signals.items():
        document, _ = read_tests(root / "signals" / name / "tests.yaml")
        collectors = load_collect_cases(document, signal)
        if Platform.LINUX in signal.collect and not any(case.platform is Platform.LINUX for case in collectors):
            without.append(name)

    assert without == []
