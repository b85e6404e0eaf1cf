"""The fix of low-disk, run for real on small volumes."""

import os

import pytest

from tests.starter.sandbox import DAY_S, RULES, Machine, Said, row_of, set_age

_MIB = 1_048_576
_OLD = 10
_YOUNG = 6


def _clean(machine: Machine, mount: str, **params: float) -> Said:
    said = machine.fix("low-disk", {"mount": mount}, params)
    assert said.code == 0, said.stderr
    return said


def test_old_files_in_temporary_folders_are_removed_and_all_else_is_kept(machine: Machine) -> None:
    """On a volume only files in tmp and var/tmp, neither written nor read for min_age_days, are removed."""
    machine.mount("/srv")
    removed = [machine.plant(f"/srv/{name}", age_days=_OLD) for name in ("tmp/a", "tmp/deep/er/b", "var/tmp/c")]
    kept = [
        machine.plant("/srv/tmp/young", age_days=_YOUNG),
        machine.plant("/srv/tmp/deep/young", age_days=0),
        *(machine.plant(f"/srv/{name}", age_days=400) for name in ("data/a", "a", "var/log/a.gz", "cache/a", "tmpx/a")),
    ]

    _clean(machine, "/srv")

    assert [place for place in removed if place.exists()] == []
    assert [place for place in kept if not place.exists()] == []
    assert machine.path("/srv/tmp/deep/er").is_dir()


def test_age_limit_is_the_parameter(machine: Machine) -> None:
    """A file is removed when it is older than min_age_days, and kept when it is younger."""
    machine.mount("/srv")
    older = machine.plant("/srv/tmp/older", age_days=3.01)
    younger = machine.plant("/srv/tmp/younger", age_days=2.99)

    _clean(machine, "/srv", min_age_days=3.0)

    assert not older.exists()
    assert younger.exists()


def test_file_read_lately_is_kept(machine: Machine) -> None:
    """A temporary file that was written long ago but read lately is kept."""
    machine.mount("/srv")
    planted = machine.plant("/srv/tmp/unpacked", age_days=_OLD)
    os.utime(planted, (planted.stat().st_mtime + 5 * DAY_S, planted.stat().st_mtime))

    _clean(machine, "/srv")

    assert planted.exists()


def test_output_says_what_was_freed(machine: Machine) -> None:
    """Each step says how many files it removed and how many MiB that freed; the volume's free space frames it."""
    machine.mount("/srv")
    for name in ("a", "b", "c"):
        machine.plant(f"/srv/tmp/{name}", age_days=_OLD, size=_MIB)

    said = _clean(machine, "/srv")

    assert "temporary files in /srv/tmp: 3 files, 3.0 MiB freed" in said.stdout
    assert said.stdout.startswith("free on /srv before: 0.005 GiB (62.5 %)")
    assert "free on /srv after: 0.008 GiB (100.0 %)" in said.stdout


def test_reading_after_the_fix_is_no_longer_a_match(machine: Machine) -> None:
    """A full volume matches the rule; after the fix the same row reaches `until`."""
    rule = RULES["low-disk"]
    machine.mount("/srv")
    machine.plant("/srv/data", size=2 * _MIB)
    machine.plant("/srv/tmp/a", age_days=_OLD, size=int(5.8 * _MIB))
    params = {"mounts": ("/srv",)}
    low = rule.when.bind(rule.params)
    reached = getattr(rule.verify, "until").bind(rule.params)  # noqa: B009  # only one kind of verify has it.

    before = row_of(machine.collect("disk", params), mount="/srv")
    _clean(machine, "/srv")
    after = row_of(machine.collect("disk", params), mount="/srv")

    assert low(before, {}) is True
    assert low(after, {}) is False
    assert reached(after, {}) is True


def test_second_run_changes_nothing(machine: Machine) -> None:
    """The fix is idempotent: run again, it removes nothing and changes no file, mode or time."""
    machine.mount("/srv")
    for name, age in (("tmp/old", _OLD), ("tmp/young", 1), ("data/old", 400)):
        machine.plant(f"/srv/{name}", age_days=age)
    _clean(machine, "/srv")
    before = machine.snapshot("/srv")

    said = _clean(machine, "/srv")

    assert machine.snapshot("/srv") == before
    assert "temporary files in /srv/tmp: 0 files, 0.0 MiB freed" in said.stdout


def test_volume_without_a_free_byte_is_no_hindrance(machine: Machine) -> None:
    """The fix works when not a byte is left, neither on the volume nor where programs put temporary files."""
    for mount in ("/srv", "/tmp", "/var/tmp"):
        machine.mount(mount, size="1m")
        machine.plant(f"{mount}/tmp/old", age_days=_OLD, size=400_000)
        machine.run("sh", "-c", f"cat /dev/zero >{mount}/filler", check=False)
        assert os.statvfs(machine.path(mount)).f_bavail == 0

    said = _clean(machine, "/srv")

    assert not machine.path("/srv/tmp/old").exists()
    assert os.statvfs(machine.path("/srv")).f_bavail > 0
    assert said.stderr == ""


def test_links_are_not_followed(machine: Machine) -> None:
    """Neither a link in a temporary folder, nor one in its place or above it, leads the fix elsewhere."""
    machine.mount("/srv")
    targets = [machine.plant(f"/srv/{name}/old", age_days=400) for name in ("data", "other/tmp")]
    machine.path("/srv/tmp").mkdir()
    links = [machine.path("/srv/tmp/folder"), machine.path("/srv/tmp/file"), machine.path("/srv/var")]
    for link, target in zip(links, ("../data", "../data/old", "other"), strict=True):
        link.symlink_to(target)
        set_age(link, 400)
    elsewhere = machine.mount("/opt/volume")
    (elsewhere / "tmp").symlink_to("data")
    targets.append(machine.plant("/opt/volume/data/old", age_days=400))

    said = _clean(machine, "/srv")
    _clean(machine, "/opt/volume")

    assert [target for target in targets if not target.exists()] == []
    assert [link for link in links if not link.is_symlink()] == []
    assert "/srv/var/tmp: left alone, it is reached through a link" in said.stdout


def test_other_volumes_are_untouched(machine: Machine) -> None:
    """Nothing changes outside the volume but the loader's marker; mounts below its own folders are left alone."""
    machine.mount("/srv")
    machine.plant("/srv/tmp/old", age_days=_OLD)
    machine.mount("/srv/tmp/below")
    kept = [
        machine.plant("/srv/tmp/below/old", age_days=400),
        machine.plant("/tmp/old", age_days=400),
        machine.plant("/var/tmp/old", age_days=400),
        machine.plant("/var/log/old.gz", age_days=400),
    ]
    before = machine.written()

    said = _clean(machine, "/srv")

    assert [place for place in kept if not place.exists()] == []
    assert not machine.path("/srv/tmp/old").exists()
    assert "/var/log" not in said.stdout
    assert {name for name, _ in before.items() ^ machine.written().items() if "run/remedy" not in name} <= {"run"}


@pytest.mark.parametrize("name", ["build [1]", "tab\there", "line\nbreak", "back\\slash"])
def test_same_volume_mounted_below_is_untouched(machine: Machine, name: str) -> None:
    """A folder of the same volume that is bound below a temporary folder keeps its old files (a build root)."""
    machine.mount("/srv")
    home = machine.plant("/srv/home/old", age_days=400)
    planted = machine.plant("/srv/tmp/old", age_days=_OLD)
    machine.path(f"/srv/tmp/{name}").mkdir()
    machine.run("mount", "--bind", "/srv/home", f"/srv/tmp/{name}")

    said = _clean(machine, "/srv")

    assert home.exists()
    assert planted.exists() is ("has a line break in its name" in said.stdout)


@pytest.mark.parametrize("name", ["two words", "-rf", "line\nbreak", "a*?[b]\\", "'\"$(touch x)`", "ümlaut", "…"])
def test_odd_names_are_removed_like_others(machine: Machine, name: str) -> None:
    """A file with an odd name is removed as any other, and means nothing to the shell."""
    machine.mount("/srv")
    planted = machine.plant(f"/srv/tmp/{name}", age_days=_OLD)
    neighbour = machine.plant("/srv/tmp/ab", age_days=1)

    said = _clean(machine, "/srv")

    assert not planted.exists()
    assert neighbour.exists()
    assert "1 files" in said.stdout


@pytest.mark.parametrize("mount", ["/srv/my data", "/srv/[a] *", "/srv/back\\slash", "/srv/#1"])
def test_odd_mount_points_are_cleaned_like_others(machine: Machine, mount: str) -> None:
    """A volume whose mount point has blanks or pattern signs in its name is cleaned, private folders excepted."""
    machine.mount(mount)
    planted = machine.plant(f"{mount}/tmp/old", age_days=_OLD)
    private = machine.plant(f"{mount}/tmp/systemd-private-1/tmp/old", age_days=_OLD)

    _clean(machine, mount)

    assert not planted.exists()
    assert private.exists()


def test_files_in_use_are_kept(machine: Machine) -> None:
    """An old file that a process holds open, or only mapped, is kept."""
    machine.mount("/srv")
    opened, mapped, free = (machine.plant(f"/srv/tmp/{name}", age_days=_OLD) for name in ("opened", "mapped", "free"))
    # The mmap of Python keeps a descriptor; that of libc does not. 1 and 2 are PROT_READ and MAP_PRIVATE.
    holder = (
        "import ctypes, sys\n"
        "opened = open('/srv/tmp/opened')\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.mmap.restype = ctypes.c_void_p\n"
        "with open('/srv/tmp/mapped') as file:\n"
        "    libc.mmap(None, ctypes.c_size_t(4096), 1, 2, file.fileno(), ctypes.c_long(0))\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with machine.running(holder):
        # To map a file counts as reading it.
        set_age(mapped, _OLD)
        _clean(machine, "/srv")

    assert opened.exists()
    assert mapped.exists()
    assert not free.exists()


def test_nothing_is_removed_when_open_files_cannot_be_listed(machine: Machine) -> None:
    """When the list of open files is not complete in time, old files are left alone, and the output says why."""
    machine.mount("/srv")
    planted = machine.plant("/srv/tmp/old", age_days=_OLD)
    real = machine.path("/usr/bin/timeout").read_bytes()
    machine.plant("/usr/bin/timeout.real").write_bytes(real)
    machine.path("/usr/bin/timeout.real").chmod(0o755)
    late = '#!/bin/sh\ncase "$*" in *"find -L /proc/"*) exit 124;; esac\nexec timeout.real "$@"\n'
    machine.path("/usr/bin/timeout").write_text(late)

    said = _clean(machine, "/srv")

    assert planted.exists()
    assert "temporary files in /srv/tmp: left alone, the open files could not be listed" in said.stdout


def test_what_marks_a_running_program_is_kept(machine: Machine) -> None:
    """Lock and process id files, private folders of services, and files with a second name are kept."""
    machine.mount("/srv")
    names = (".X0-lock", "mysql.sock.lock", "daemon.pid", "systemd-private-ab/tmp/a", "snap-private-tmp/a", "linked")
    kept = [machine.plant(f"/srv/tmp/{name}", age_days=_OLD) for name in names]
    machine.path("/srv/second-name").hardlink_to(kept[-1])

    _clean(machine, "/srv")

    assert [place for place in kept if not place.exists()] == []


def test_folder_of_another_account_is_kept(machine: Machine) -> None:
    """A folder `tmp` that does not belong to root (a database of that name, a home) is left alone."""
    machine.mount("/srv")
    planted = machine.plant("/srv/tmp/old", age_days=_OLD)
    os.chown(machine.path("/srv/tmp"), 1234, 1234)

    said = _clean(machine, "/srv")

    assert planted.exists()
    assert "/srv/tmp: left alone, it does not belong to root" in said.stdout


def test_rotated_logs_are_removed_but_no_evidence(machine: Machine) -> None:
    """In /var/log old rotated logs are removed; live logs, audit trails, sign-ins and a database's log are kept."""
    machine.mount("/var/log")
    rotated = ("syslog.1", "syslog.12", "app/x.log.2.gz", "x.xz", "dmesg.old", "messages-20260101", "m-20260101.gz")
    live = ("syslog", "app/x.log", "mysql/mysql-bin.000123", "audit/audit.log.1", "wtmp.1", "btmp.1", "auth.log.2.gz")
    removed = [machine.plant(f"/var/log/{name}", age_days=_OLD) for name in rotated]
    kept = [machine.plant(f"/var/log/{name}", age_days=_OLD) for name in live]
    kept += [machine.plant(f"/var/log/young.{name}", age_days=_YOUNG) for name in ("1", "gz")]

    said = _clean(machine, "/var/log")

    assert [place for place in removed if place.exists()] == []
    assert [place for place in kept if not place.exists()] == []
    assert "rotated logs in /var/log: 7 files" in said.stdout


def test_system_volume_is_cleaned_in_its_own_places(machine: Machine) -> None:
    """On the system volume old files go from /tmp, /var/tmp, logs, crash dumps, and packages from apt's cache."""
    names = ("tmp/a", "var/tmp/a", "var/log/a.gz", "var/crash/a.crash", "var/lib/systemd/coredump/core.a")
    removed = [machine.plant(f"/{name}", age_days=_OLD) for name in names]
    kept = [machine.plant(f"/{name}", age_days=400) for name in ("srv/tmpfile", "home/a/tmp/a", "root/a", "opt/tmp/a")]
    package = machine.plant("/var/cache/apt/archives/a_1_all.deb", size=2 * _MIB)

    said = _clean(machine, "/")

    assert [place for place in removed if place.exists()] == []
    assert [place for place in kept if not place.exists()] == []
    assert not package.exists()
    assert "package cache in /var/cache/apt/archives: 2.0 MiB freed" in said.stdout


def test_package_cache_of_dnf_is_cleaned_by_dnf(machine: Machine) -> None:
    """Where dnf is, it cleans its own packages; that it ended badly is said and stops nothing."""
    package = machine.plant("/var/cache/dnf/base/packages/a.rpm", size=2 * _MIB)
    dnf = machine.plant("/usr/bin/dnf")
    dnf.write_text('#!/bin/sh\n[ "$*" = "--quiet clean packages" ] && rm /var/cache/dnf/*/packages/*.rpm\n')
    dnf.chmod(0o755)

    first = _clean(machine, "/")
    second = _clean(machine, "/")

    assert not package.exists()
    assert "package cache in /var/cache/dnf: 2.0 MiB freed\n" in first.stdout
    assert "package cache in /var/cache/dnf: 0.0 MiB freed (dnf ended badly: rm: cannot remove" in second.stdout


def test_archived_journals_are_vacuumed_by_age(machine: Machine) -> None:
    """Archived journals older than min_age_days are removed, the journal in use is kept."""
    if not machine.path("/usr/bin/journalctl").exists():
        pytest.skip("this machine has no journalctl")
    machine_id = "0123456789abcdef0123456789abcdef"
    machine.path("/etc/machine-id").write_text(machine_id + "\n")
    # The last part of an archive's name is its first entry's time, in µs since 1970.
    archive = f"system@{machine_id}-0000000000000001-{1_600_000_000_000_000:016x}.journal"
    archived = machine.plant(f"/var/log/journal/{machine_id}/{archive}", age_days=400, size=_MIB)
    current = machine.plant(f"/var/log/journal/{machine_id}/system.journal", age_days=400, size=_MIB)

    said = _clean(machine, "/")

    assert not archived.exists()
    assert current.exists()
    assert "archived journals in /var/log/journal: 1.0 MiB freed" in said.stdout


def test_what_a_person_needs_is_shown_when_it_was_not_enough(machine: Machine) -> None:
    """A volume that stays full ends with its ten largest folders and the deleted files that are still open."""
    machine.mount("/srv")
    for number in range(12):
        machine.plant(f"/srv/data/part {number:02}/a", size=100_000 + 4_096 * number)
    machine.plant("/srv/deleted", size=6 * _MIB)
    holder = (
        "import os, sys\n"
        "held = open('/srv/deleted')\n"
        "os.unlink('/srv/deleted')\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )

    with machine.running(holder):
        said = _clean(machine, "/srv")

    largest, deleted = said.stdout.split("deleted files that are still open")
    assert largest.count(" MiB  /srv/data/part ") == 10
    assert largest.index("/srv/data/part 11") < largest.index("/srv/data/part 10") < largest.index("/srv/data/part 02")
    assert "part 01" not in largest
    assert "6.0 MiB  process " in deleted
    assert "(python" in deleted
    assert "/srv/deleted (deleted)" in deleted


def test_nothing_more_is_shown_when_it_was_enough(machine: Machine) -> None:
    """A volume that is no longer low ends with its free space."""
    machine.mount("/srv")
    machine.plant("/srv/tmp/old", age_days=_OLD, size=6 * _MIB)

    said = _clean(machine, "/srv")

    assert said.stdout.splitlines()[-1].startswith("free on /srv after:")


@pytest.mark.parametrize(
    ("row", "params", "reason"),
    [
        ({"mount": "/srv/tmp"}, {}, "'/srv/tmp' is not a mount point"),
        ({"mount": "/nowhere"}, {}, "'/nowhere' is not a mount point"),
        ({"mount": "srv"}, {}, "'srv' is not a mount point"),
        ({"mount": None}, {}, "'' is not a mount point"),
        ({"mount": "/srv"}, {"min_age_days": 0.0}, "min_age_days must be a number of days, at least 1"),
        ({"mount": "/srv"}, {"min_age_days": -7.0}, "min_age_days must be a number of days, at least 1"),
    ],
)
def test_values_that_make_no_sense_are_refused(
    machine: Machine, row: dict[str, str | None], params: dict[str, float], reason: str
) -> None:
    """Without a volume, or with an age of less than a day, the fix ends badly and removes nothing."""
    machine.mount("/srv")
    planted = machine.plant("/srv/tmp/old", age_days=400)

    said = machine.fix("low-disk", row, params)

    assert said.code == 1
    assert said.stderr.strip() == f"{reason}; nothing was removed"
    assert planted.exists()
