"""One case of the oracle: the files of an inventory, and what is asked of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An inventory as files below a folder of its own; `source` is what `-i` would name, "." the folder itself."""

    name: str
    files: Mapping[str, str]
    source: str
    is_public_shape: bool = False

    def write(self, root: Path) -> Path:
        """Write the files below root; return the path of the inventory."""
        folder = root / self.name
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder / self.source if self.source != "." else folder
