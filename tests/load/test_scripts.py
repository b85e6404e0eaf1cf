"""Scripts come from inside their folder, never over a link, whole and as text."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from remedy.errors import FilesError
from remedy.load import load_repository
from remedy.model import Platform
from tests.load.tables import BASE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the base repository."""
    return Path(shutil.copytree(BASE, tmp_path / "rules"))


def _said(root: Path) -> str:
    with pytest.raises(FilesError) as caught:
        load_repository(root)
    return str(caught.value).replace(f"{root}/", "")


def _link_script(root: Path) -> None:
    (root / "elsewhere.sh").write_text("#!/bin/sh\necho elsewhere\n")
    (root / "low-disk" / "clean.sh").unlink()
    (root / "low-disk" / "clean.sh").symlink_to("../elsewhere.sh")


def _link_to_itself(root: Path) -> None:
    (root / "low-disk" / "clean.sh").unlink()
    (root / "low-disk" / "clean.sh").symlink_to("clean.sh")


def _link_folder(root: Path) -> None:
    (root / "low-disk").rename(root.parent / "moved")
    (root / "low-disk").symlink_to(root.parent / "moved")


def _link_signals(root: Path) -> None:
    (root / "signals").rename(root.parent / "signals")
    (root / "signals").symlink_to(root.parent / "signals")


def _link_rule(root: Path) -> None:
    (root / "low-disk" / "rule.yaml").rename(root.parent / "rule.yaml")
    (root / "low-disk" / "rule.yaml").symlink_to(root.parent / "rule.yaml")


def _link_nowhere(root: Path) -> None:
    (root / "low-disk" / "rule.yaml").unlink()
    (root / "low-disk" / "rule.yaml").symlink_to("nowhere.yaml")


def _link_inside(root: Path) -> None:
    folder = root / "low-disk"
    (folder / "real").mkdir()
    (folder / "clean.sh").rename(folder / "real" / "clean.sh")
    (folder / "parts").symlink_to("real")
    text = (folder / "rule.yaml").read_text()
    (folder / "rule.yaml").write_text(text.replace("clean.sh", "parts/clean.sh"))


@pytest.mark.parametrize(
    ("link", "message"),
    [
        (_link_script, "low-disk/rule.yaml:11:19: fix.linux.script: 'clean.sh': 'clean.sh' is a link, and links"),
        (_link_to_itself, "low-disk/rule.yaml:11:19: fix.linux.script: 'clean.sh': 'clean.sh' is a link, and links"),
        (_link_inside, "low-disk/rule.yaml:11:19: fix.linux.script: 'parts/clean.sh': 'parts' is a link, and links"),
        (_link_folder, "low-disk: is a link, and links are not followed"),
        (_link_signals, "signals: is a link, and links are not followed"),
        (_link_rule, "low-disk/rule.yaml: 'rule.yaml' is a link, and links are not followed"),
        (_link_nowhere, "low-disk/rule.yaml: 'rule.yaml' is a link, and links are not followed"),
    ],
)
def test_link_below_the_rules_folder_is_refused(root: Path, link: Callable[[Path], None], message: str) -> None:
    """A link at any component below the rules folder is refused, wherever it leads."""
    link(root)

    assert message in _said(root)


def test_rules_folder_itself_may_be_a_link(root: Path) -> None:
    """The rules folder that a person names may be a link; the rule is the same."""
    (root.parent / "named").symlink_to(root)

    found = load_repository(root.parent / "named")

    assert found.rules["low-disk"].digest == load_repository(root).rules["low-disk"].digest


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is empty; write the script"),
        (b" \n\n", "is empty; write the script"),
        (b"echo a\0b\n", "holds a NUL byte"),
        (b"echo \xff\n", "is not UTF-8 (byte 5)"),
        (b"\xef\xbb\xbfecho a\n", "starts with a byte order mark"),
        (b"#!/bin/sh\r\necho a\r\n", "has Windows line endings"),
        (b"#" * (256 * 1024 + 1), "is larger than 256 KiB"),
    ],
)
def test_script_that_is_no_text_for_sh_is_refused(root: Path, body: bytes, message: str) -> None:
    """A script for Linux is non-empty UTF-8 of at most 256 KiB, without BOM, NUL or CR."""
    (root / "low-disk" / "clean.sh").write_bytes(body)

    said = _said(root)

    assert said.startswith("low-disk/rule.yaml:11:19: fix.linux.script: 'clean.sh'")
    assert message in said


def test_script_of_the_largest_size_is_read(root: Path) -> None:
    """Exactly 256 KiB are allowed."""
    (root / "low-disk" / "clean.sh").write_bytes(b"#" * (256 * 1024))

    script = load_repository(root).rules["low-disk"].fix[Platform.LINUX]

    assert len(script.body) == 256 * 1024


def test_pipe_instead_of_a_script_is_refused_at_once(root: Path) -> None:
    """A named pipe is refused; nobody waits for a writer."""
    (root / "low-disk" / "clean.sh").unlink()
    os.mkfifo(root / "low-disk" / "clean.sh")

    assert "'clean.sh': is no regular file" in _said(root)


def test_script_for_windows_may_have_a_byte_order_mark(root: Path) -> None:
    """PowerShell scripts are often saved with BOM and CRLF; they load as they are."""
    (root / "low-disk" / "clean.ps1").write_bytes(b"\xef\xbb\xbf'x'\r\n")

    assert load_repository(root).rules["low-disk"].fix[Platform.WINDOWS].body == b"\xef\xbb\xbf'x'\r\n"


def test_script_has_its_bytes_hash_and_settings(root: Path) -> None:
    """A script carries its bytes, their SHA-256, a path below the rules folder, and how it is run."""
    repository = load_repository(root)
    script = repository.rules["low-disk"].fix[Platform.LINUX]
    windows = repository.rules["low-disk"].fix[Platform.WINDOWS]
    collector = repository.signals["reboot"].collect[Platform.LINUX]

    assert script.body == (root / "low-disk" / "clean.sh").read_bytes()
    assert script.sha256 == hashlib.sha256(script.body).hexdigest()
    assert (script.path, script.timeout_s, script.become_root) == ("low-disk/clean.sh", 300, True)
    assert (script.needs_reboot_codes, windows.needs_reboot_codes) == ((), (3010,))
    assert (collector.path, collector.timeout_s, collector.become_root) == ("signals/reboot/linux.sh", 20, False)
