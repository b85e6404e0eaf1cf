"""All cases of the loader."""

from tests.powershell_lane import (
    damage,
    deadlines,
    endings,
    folder,
    locks,
    once,
    reading,
    recorded,
    rows,
    starting,
    streams,
    tree,
    values,
)
from tests.powershell_lane.case import Case

__all__ = ["cases"]


def cases() -> list[Case]:
    """Return the cases, those first without which the others mean little."""
    return [
        case
        for module in (
            starting,
            recorded,
            endings,
            streams,
            values,
            rows,
            damage,
            once,
            folder,
            locks,
            reading,
            deadlines,
            tree,
        )
        for case in module.cases()
    ]
