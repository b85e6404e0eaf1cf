"""What a text of an inventory is, other than itself: a reference to a secret, nearly one, or a template."""

import re

__all__ = ["COMMENT", "PRIVATE_KEY", "REFERENCE_CURE", "is_reference", "is_template", "nearly_reference"]

PRIVATE_KEY = "PRIVATE KEY-----"
REFERENCE_CURE = "write env:NAME or file:/PATH"
COMMENT = "what follows '#' is no comment here, but a part of the value"

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]{0,254}|file:(?:/|~/)[^\x00-\x1f\x7f]{1,4096}")
_NEARLY = re.compile(r"\s*(?:env|file)\s*[:=]", re.IGNORECASE)
_BEGINNING = re.compile(r"(env|file):(?![:=\s])")
_SHELLS = re.compile(r"\$(?:env:)?[A-Z_][A-Z0-9_]+|\$\{[A-Z_][A-Z0-9_]+\}|%[A-Z_][A-Z0-9_]+%")


def is_reference(text: str) -> bool:
    """Say whether a text names where a secret is (`env:NAME`, `file:/PATH`) instead of being one."""
    return _REFERENCE.fullmatch(text) is not None


def is_template(text: str) -> bool:
    """Say whether a text is a Jinja template, which only Ansible can fill in."""
    return "{{" in text or "{%" in text


def nearly_reference(text: str) -> str:
    """Return what is wrong with a text that was meant as a reference, without a part of it; '' for any other text."""
    if _SHELLS.fullmatch(text.strip()):
        return "it looks like a shell's variable"
    if not _NEARLY.match(text):
        return ""
    if re.search(r"\s#", text):
        return COMMENT
    begins = _BEGINNING.match(text)
    if begins is None:
        return "small letters, one ':' and no blanks"
    if begins[1] == "env":
        return "an environment variable has letters, digits and _ only"
    return "the path must begin with / or ~/"
