"""
Exchanges with real Windows hosts, recorded by the tests of pypsrp and published in its sdist (MIT).

They are downloaded, not kept here; name, version and SHA-256 are pinned.
"""

import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import yaml

__all__ = ["Exchange", "NotToBeHad", "load_recordings"]

_REQUIREMENT = "pypsrp==0.9.1 --hash=sha256:3ad41285739d5f8107dd8277ae00e86ee44153aae5e82fb578ac8048307e0d12\n"
_SDIST = "pypsrp-0.9.1.tar.gz"
_FOLDER = "pypsrp-0.9.1/tests/tests_pypsrp/responses/"


class NotToBeHad(Exception):
    """The sdist could not be downloaded; the message has pip's last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and the answer of Windows, with its HTTP status."""

    request: str
    response: str
    status: int


def load_recordings(cache: Path, prefixes: tuple[str, ...]) -> Mapping[str, tuple[Exchange, ...]]:
    """
    Return the recorded exchanges by file, those whose names begin as given.

    Raises:
        NotToBeHad: the sdist is not in the cache, and pip does not get it.
    """
    if not (cache / _SDIST).exists():
        _download(cache)
    with tarfile.open(cache / _SDIST) as archive:
        names = [name for name in archive.getnames() if name.startswith(tuple(_FOLDER + one for one in prefixes))]
        return {Path(name).stem: _read(archive.extractfile(name)) for name in sorted(names)}


def _read(file: IO[bytes] | None) -> tuple[Exchange, ...]:
    assert file is not None
    return tuple(
        Exchange(
            request=one["request"],
            response=one["response"],
            status=one.get("transport_error", {}).get("code", 200),
        )
        for one in yaml.safe_load(file)["messages"]
    )


def _download(cache: Path) -> None:
    requirements = cache / "requirements.txt"
    requirements.write_text(_REQUIREMENT)
    options = ("--no-deps", "--no-binary", ":all:", "--require-hashes", "--disable-pip-version-check", "--quiet")
    where = ("--dest", str(cache), "--requirement", str(requirements))
    done = subprocess.run([sys.executable, "-m", "pip", "download", *options, *where], capture_output=True, text=True)
    if done.returncode:
        raise NotToBeHad(done.stderr.strip().rpartition("\n")[2])
