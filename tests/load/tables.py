"""The tables of valid and invalid files, and how one of them is loaded."""

import shutil
from collections.abc import Callable
from pathlib import Path

from remedy.errors import FilesError, RemedyError
from remedy.load import load_cases, load_config, load_inventory, load_repository
from remedy.model import Params

DATA = Path(__file__).parent.parent / "data"
BASE = DATA / "rules" / "base"
TYPES: dict[str, Params] = {
    "low-disk": {"below_percent": 10.0, "below_gib": 20.0},
    "disk": {"mounts": ()},
    "notes": {"text": "", "loud": False},
}


def repository_with(folder: Path, file: Path, *, at: str) -> Path:
    """Copy the base repository into folder, with file standing at `at`; return its root."""
    root = folder / "rules"
    shutil.copytree(BASE, root)
    (root / "low-disk" / "folder").mkdir()
    shutil.copy(file, root / at)
    return root


def load_rule_file(file: Path, folder: Path) -> object:
    """Load a rule.yaml of the table."""
    return load_repository(repository_with(folder, file, at="low-disk/rule.yaml"))


def load_signal_file(file: Path, folder: Path) -> object:
    """Load a signal.yaml of the table."""
    return load_repository(repository_with(folder, file, at="signals/disk/signal.yaml"))


def load_tests_file(file: Path, folder: Path) -> object:
    """Load a tests.yaml of the table."""
    root = repository_with(folder, file, at="low-disk/tests.yaml")
    repository = load_repository(root)
    return load_cases(root / "low-disk" / "tests.yaml", repository, repository.rules["low-disk"])


def load_remedy_file(file: Path, folder: Path) -> object:
    """Load a remedy.yaml of the table."""
    shutil.copy(file, folder / "remedy.yaml")
    return load_config(folder, environment={}, system_file=folder / "none.yaml")


def load_inventory_file(file: Path, folder: Path) -> object:
    """Load an inventory of the table."""
    copied = folder / f"inventory{file.suffix}"
    shutil.copy(file, copied)
    return load_inventory(str(copied), types=TYPES)


LOADERS: dict[str, Callable[[Path, Path], object]] = {
    "rules/rule": load_rule_file,
    "rules/signal": load_signal_file,
    "rules/tests": load_tests_file,
    "rules/remedy": load_remedy_file,
    "inventory": load_inventory_file,
}


def files(prefix: str) -> list[str]:
    """Return the names of all files of the tables that start so, below the data folder."""
    return sorted(
        path.relative_to(DATA).as_posix()
        for kind in LOADERS
        for path in (DATA / kind).glob(f"{prefix}-*")
        if path.suffix != ".message"
    )


def message_of(name: str, folder: Path) -> str:
    """Return what is said of a file of the table, without the temporary folder; '' when it loads."""
    file = DATA / name
    try:
        LOADERS[str(Path(name).parent)](file, folder)
    except FilesError as exc:
        return str(exc).replace(f"{folder}/", "") + "\n"
    except RemedyError as exc:
        return f"{type(exc).__name__}: {exc}\n"
    return ""
