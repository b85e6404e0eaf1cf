"""The collectors of the starter signals, run for real on planted machines."""

import time
from pathlib import Path

import pytest

from remedy.model import Reading, ReadingStatus
from tests.starter.sandbox import DAY_S, SIGNALS, Machine, row_of

_HASH = "$y$j9T$saltsaltsalt$0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"


def _mounts(reading: Reading) -> list[object]:
    assert reading.status is ReadingStatus.OK, reading.reason
    return [row["mount"] for row in reading.rows]


def _named(*mounts: str) -> dict[str, tuple[str, ...]]:
    return {"mounts": mounts}


@pytest.mark.parametrize("signal", sorted(SIGNALS))
def test_collector_changes_nothing(machine: Machine, signal: str) -> None:
    """A collector writes, changes and removes nothing anywhere on the machine."""
    before = machine.written()

    machine.collect(signal)

    assert machine.written() == before


def test_disk_says_what_df_shows(machine: Machine) -> None:
    """Size and free space are in GiB; the percentage is free / (used + free)."""
    machine.mount("/srv", size="64m")
    machine.plant("/srv/data", size=48 * 1024 * 1024)

    row = row_of(machine.collect("disk", _named("/srv")), mount="/srv")

    assert row == {"mount": "/srv", "size_gib": 0.062, "free_gib": 0.016, "free_percent": 25}


def test_disk_of_a_full_volume_is_zero(machine: Machine) -> None:
    """A volume without a free byte is read as 0, even when no program can write a temporary file."""
    for mount in ("/srv", "/tmp"):
        machine.mount(mount, size="1m")
        machine.run("sh", "-c", f"cat /dev/zero >{mount}/filler", check=False)

    row = row_of(machine.collect("disk", _named("/srv")), mount="/srv")

    assert (row["free_gib"], row["free_percent"]) == (0, 0)


@pytest.mark.parametrize("signal", ["disk", "inodes"])
@pytest.mark.parametrize(
    "mount", ["/srv/two words", "/srv/a  b ", "/srv/[a]*?", "/srv/back\\slash", "/srv/#1", "/srv/'\"$(x)"]
)
def test_odd_mount_points_are_read_like_others(machine: Machine, signal: str, mount: str) -> None:
    """A mount point with blanks, quotes or pattern signs is read under exactly its name."""
    machine.mount(mount)

    row = row_of(machine.collect(signal, _named(mount)), mount=mount)

    assert None not in row.values()


@pytest.mark.parametrize("signal", ["disk", "inodes"])
def test_named_mounts_are_read_once_whatever_they_hold(machine: Machine, signal: str) -> None:
    """Exactly the named mounts are read, in memory too, each once; a slash at the end means nothing."""
    for mount in ("/srv/a", "/srv/b", "/srv/c"):
        machine.mount(mount)

    reading = machine.collect(signal, _named("/srv/b/", "/srv/a", "/srv/b"))

    assert _mounts(reading) == ["/srv/b", "/srv/a"]


@pytest.mark.parametrize("signal", ["disk", "inodes"])
def test_named_mount_that_is_not_mounted_is_unknown(machine: Machine, signal: str) -> None:
    """When a named volume is not mounted, the reading has failed with its name: it is never silently absent."""
    machine.mount("/srv/a")
    machine.path("/srv/b").mkdir()

    reading = machine.collect(signal, _named("/srv/a", "/srv/b"))

    assert reading.status is ReadingStatus.FAILED
    assert reading.rows == ()
    assert "/srv/b is not a mount point here" in reading.reason


@pytest.mark.parametrize("signal", ["disk", "inodes"])
def test_volume_that_df_cannot_read_has_a_row_without_numbers(machine: Machine, signal: str) -> None:
    """A volume that df fails on stays in the reading as unknown; the others are read all the same."""
    machine.mount("/srv/a")
    machine.mount("/srv/b")
    real = machine.path("/usr/bin/df").read_bytes()
    machine.plant("/usr/bin/df.real").write_bytes(real)
    machine.path("/usr/bin/df.real").chmod(0o755)
    machine.path("/usr/bin/df").write_text('#!/bin/sh\ncase "$*" in *"/srv/b") exit 1;; esac\nexec df.real "$@"\n')

    reading = machine.collect(signal, _named("/srv/a", "/srv/b"))

    assert None not in row_of(reading, mount="/srv/a").values()
    assert set(row_of(reading, mount="/srv/b").values()) == {"/srv/b", None}


@pytest.mark.parametrize("signal", ["disk", "inodes"])
def test_every_local_volume_is_the_root_and_what_has_a_device(machine: Machine, signal: str) -> None:
    """Without names: the root and each writable volume on a device, once; no memory, image or second mount of it."""
    machine.mount("/srv/memory")
    machine.run("mkdir", "-p", "/srv/data", "/srv/image", "/d")
    _mount_device(machine, "/srv/data", options="rw")
    _mount_device(machine, "/srv/image", options="ro")
    machine.run("mkdir", "/srv/data/inside")
    machine.run("mount", "--bind", "/srv/data/inside", "/d")

    reading = machine.collect(signal)

    assert sorted(map(str, _mounts(reading))) == ["/", "/srv/data"]


def _mount_device(machine: Machine, inside: str, *, options: str) -> None:
    """Mount an empty ext4 volume on a loop device, which is freed when the sandbox ends."""
    image = inside + ".img"
    script = 'truncate -s 4M "$1" && mkfs.ext4 -q -F "$1" && mount -o "loop,$3" "$1" "$2"'
    made = machine.run("sh", "-c", script, "sh", image, inside, options, check=False)
    if made.returncode:
        pytest.skip(f"this machine cannot make a volume on a loop device: {made.stderr.decode()}")


def test_inodes_are_counted(machine: Machine) -> None:
    """Total and free inodes are numbers of files, and the percentage is free / total."""
    machine.mount("/srv", options="nr_inodes=40")
    for number in range(30):
        machine.plant(f"/srv/{number}", size=0)

    row = row_of(machine.collect("inodes", _named("/srv")), mount="/srv")

    # The volume's root folder takes one as well.
    assert row == {"mount": "/srv", "inodes_total": 40, "inodes_free": 9, "inodes_free_percent": 22.5}


def test_volume_without_fixed_inodes_is_left_out(machine: Machine) -> None:
    """A file system without a number of inodes has no row; when there is no other, it is not applicable."""
    machine.mount("/srv/fixed")
    machine.mount("/srv/free", options="nr_inodes=0")

    some = machine.collect("inodes", _named("/srv/fixed", "/srv/free"))
    none = machine.collect("inodes", _named("/srv/free"))

    assert _mounts(some) == ["/srv/fixed"]
    assert none.status is ReadingStatus.NOT_APPLICABLE


def test_reboot_flag_names_the_packages(machine: Machine) -> None:
    """The flag of Debian and Ubuntu makes it pending, and the reason names each package once."""
    machine.plant("/run/reboot-required").write_text("*** System restart required ***\n")
    machine.plant("/run/reboot-required.pkgs").write_text("linux-image-amd64\nlibc6\nlibc6\n")

    row = row_of(machine.collect("reboot"))

    assert row["pending"] is True
    assert row["reason"] == "packages ask for it: libc6 linux-image-amd64"


def test_reboot_uptime_is_that_of_the_kernel(machine: Machine) -> None:
    """The uptime is what /proc/uptime says, in days."""
    seconds = float(Path("/proc/uptime").read_text().split()[0])

    row = row_of(machine.collect("reboot"))

    assert row["uptime_days"] == pytest.approx(seconds / DAY_S, abs=0.002)


@pytest.mark.parametrize(
    ("said", "code", "pending"),
    [
        (
            "Core libraries or services have been updated:\n  glibc\nReboot is required to ensure that it works.",
            1,
            True,
        ),
        ("No core libraries or services have been updated since boot-up.\nReboot should not be necessary.", 0, False),
        ("Error: Failed to download metadata for repo 'base'", 1, None),
        ("", 0, None),
        ("", 1, None),
    ],
)
def test_needs_restarting_counts_by_its_text_only(machine: Machine, said: str, code: int, pending: bool | None) -> None:
    """needs-restarting says yes or no by its text; an error of dnf, which ends with 1 as well, says nothing."""
    program = machine.plant("/usr/bin/needs-restarting")
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {code}\n")
    program.chmod(0o755)

    row = row_of(machine.collect("reboot"))

    assert row["pending"] is pending


@pytest.mark.parametrize(
    ("running", "installed", "pending"),
    [
        ("6.1.0-18-amd64", "6.1.0-21-amd64", True),
        ("6.1.0-9-amd64", "6.1.0-10-amd64", True),
        ("6.1.0-18-amd64", "6.1.0-9-amd64", False),
        ("6.1.0-18-amd64", "6.1.0-21-cloud-rt", False),
        ("5.14.0-362.el9.x86_64", "5.14.0-427.el9.x86_64", True),
    ],
)
def test_newer_kernel_of_the_same_flavour_is_pending(
    machine: Machine, running: str, installed: str, pending: bool
) -> None:
    """A newer kernel of the running flavour, installed since the start, is pending; an older or other one is not."""
    _run_kernel(machine, running)
    machine.plant(f"/boot/vmlinuz-{running}", size=1)
    machine.plant(f"/boot/vmlinuz-{installed}", age_days=50, size=1)

    row = row_of(machine.collect("reboot"))

    assert row["pending"] is pending
    assert (installed in str(row["reason"])) is pending


def test_newer_kernel_from_before_the_start_was_not_chosen(machine: Machine) -> None:
    """A newer kernel that was there when the machine started is left alone: somebody chose to start another."""
    _run_kernel(machine, "6.1.0-18-amd64")
    for version in ("6.1.0-18-amd64", "6.1.0-21-amd64"):
        machine.plant(f"/boot/vmlinuz-{version}", size=1)
    machine.plant("/stat").write_text(f"btime {int(time.time()) + 5}\n")
    machine.run("mount", "--bind", "/stat", "/proc/stat")

    row = row_of(machine.collect("reboot"))

    assert row["pending"] is False


def _run_kernel(machine: Machine, version: str) -> None:
    machine.path("/usr/bin/uname").unlink()
    uname = machine.plant("/usr/bin/uname")
    uname.write_text(f"#!/bin/sh\necho {version}\n")
    uname.chmod(0o755)


def test_reboot_without_any_source_is_unknown(machine: Machine) -> None:
    """When nothing on the machine can say that no restart is pending, `pending` is null and not false."""
    _run_kernel(machine, "6.1.0-18-amd64")
    for place in ("/etc/kernel/postinst.d/unattended-upgrades", "/usr/share/update-notifier/notify-reboot-required"):
        machine.path(place).unlink(missing_ok=True)

    row = row_of(machine.collect("reboot"))

    assert row["pending"] is None
    assert isinstance(row["uptime_days"], float)


@pytest.mark.parametrize("place", ["/.dockerenv", "/run/.containerenv", "/run/systemd/container"])
def test_reboot_of_a_container_is_not_applicable(machine: Machine, place: str) -> None:
    """In a container, whose uptime is its host's, the signal is not applicable; without systemd's help, too."""
    machine.path("/usr/bin/systemd-detect-virt").unlink(missing_ok=True)
    machine.plant("/run/reboot-required")
    machine.plant(place)

    reading = machine.collect("reboot")

    assert reading.status is ReadingStatus.NOT_APPLICABLE


def _today() -> int:
    return int(time.time()) // DAY_S


def _shadow(machine: Machine, *lines: str) -> None:
    shadow = machine.path("/etc/shadow")
    shadow.write_text("".join(f"{line}\n" for line in lines))
    shadow.chmod(0o640)


def test_password_days_are_counted_to_the_last_day(machine: Machine) -> None:
    """`days_left` is last change + maximum age - today: 0 on the last day, negative after it."""
    today = _today()
    _shadow(
        machine,
        f"fresh:{_HASH}:{today}:0:90:7:::",
        f"last:{_HASH}:{today - 90}:0:90:7:::",
        f"over:{_HASH}:{today - 95}:0:90:7:30::",
        f"must:{_HASH}:0:0:99999:7:::",
    )

    reading = machine.collect("password")

    said = {row["account"]: (row["days_left"], row["must_change"], row["own"]) for row in reading.rows}
    assert said == {
        "fresh": (90, False, False),
        "last": (0, False, False),
        "over": (-5, False, False),
        "must": (0, True, False),
    }


def test_password_that_never_expires_or_is_not_usable_has_no_row(machine: Machine) -> None:
    """No row for: no maximum age, aging switched off, locked, none set, an account that is itself expired, NIS."""
    today = _today()
    _shadow(
        machine,
        f"a:{_HASH}:{today}:0:99999:7:::",
        f"b:{_HASH}:{today}:0:10000:7:::",
        f"c:{_HASH}:{today}:0::7:::",
        f"d:{_HASH}::0:90:7:::",
        f"e:!{_HASH}:{today}:0:90:7:::",
        f"f:*:{today}:0:90:7:::",
        f"g::{today}:0:90:7:::",
        f"h:{_HASH}:{today}:0:90:7::{today - 1}:",
        f"+@staff:{_HASH}:{today}:0:90:7:::",
    )

    reading = machine.collect("password")

    assert reading.status is ReadingStatus.OK
    assert reading.rows == ()


@pytest.mark.parametrize("environment", [{"SUDO_USER": "remedy"}, {"SUDO_USER": "DOMAIN\\remedy"}, {}])
def test_own_account_is_reported_even_when_its_password_is_locked(
    machine: Machine, environment: dict[str, str]
) -> None:
    """The account remedy signs in with (behind sudo the one that called it) has a row although it has only a key."""
    own = environment.get("SUDO_USER", "root")
    _shadow(machine, f"{own}:!:{_today() - 80}:0:90:7:::", f"other:!:{_today() - 80}:0:90:7:::")

    reading = machine.collect("password", environment=environment)

    assert reading.rows == ({"account": own, "days_left": 10, "must_change": False, "own": True},)


def test_password_whose_days_make_no_sense_is_unknown(machine: Machine) -> None:
    """A line with something else than days keeps its row, without days."""
    _shadow(machine, f"odd:{_HASH}:soon:0:90:7:::", f"good:{_HASH}:{_today()}:0:90:7:::")

    reading = machine.collect("password")

    assert row_of(reading, account="odd")["days_left"] is None
    assert row_of(reading, account="good")["days_left"] == 90


def test_no_hash_is_ever_printed(machine: Machine) -> None:
    """What the collector prints holds no part of any hash, whatever the lines look like."""
    _shadow(
        machine,
        f"a:{_HASH}:{_today()}:0:90:7:::",
        f"b:!{_HASH}:{_today()}:0:90:7:::",
        f"c:{_HASH}:x:y:z:7:::",
        f"{_HASH}",
        f"root:{_HASH}:{_today()}:0:90:7:::",
    )

    said = machine.collector_said("password")

    assert said.code == 0
    assert "saltsalt" not in said.stdout + said.stderr
    assert _HASH[-20:] not in said.stdout + said.stderr


def test_shadow_that_cannot_be_read_is_unknown(machine: Machine) -> None:
    """Without the shadow file the reading has failed; it is never empty and healthy."""
    machine.path("/etc/shadow").unlink()

    reading = machine.collect("password")

    assert reading.status is ReadingStatus.FAILED
    assert "/etc/shadow cannot be read" in reading.reason
