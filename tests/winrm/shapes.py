"""The shape of an answer: elements, attributes, and the values that are the protocol's and not a host's."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

__all__ = ["shape"]

_VALUES = (
    "Action", "Value", "Text", "Message", "ProviderFault", "FaultDetail", "ResourceURI", "ResourceUri", "IdleTimeOut",
    "InputStreams", "OutputStreams", "ShellRunTime", "ShellInactivity", "ExitCode", "WorkingDirectory", "Variable",
)  # fmt: skip
"""Elements whose text is compared; of the others (ids, addresses, owners, output) only that they are there."""
_ATTRIBUTES = ("State", "End", "Code", "provider", "path")
"""Attributes whose values are compared."""


def shape(answer: str | bytes) -> tuple[str, ...]:
    """
    Return one line for each element, in order: path, attributes, value.

    Lines that repeat the one before are left out: into how many pieces an output
    was cut is not the protocol's.
    """
    lines: list[str] = []
    for line in _lines(ET.fromstring(answer), ""):
        if not lines or lines[-1] != line:
            lines.append(line)
    return tuple(lines)


def _lines(element: ET.Element, above: str) -> Iterator[str]:
    name = element.tag.rpartition("}")[2]
    path = f"{above}/{name}"
    attributes = "".join(
        f" {key}={value}"
        if key in _ATTRIBUTES or (name, key) in (("Stream", "Name"), ("Selector", "Name"))
        else f" {key}"
        for key, value in sorted((one.rpartition("}")[2], value) for one, value in element.attrib.items())
    )
    value = f": {(element.text or '').strip()}" if name in _VALUES else ""
    yield f"{path}{attributes}{value}"
    for below in element:
        yield from _lines(below, path)
