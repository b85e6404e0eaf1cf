"""Telling a payload's own lines from what scripts print between them, by the nonce they carry."""

import re

__all__ = ["Frames", "Mark"]

Mark = tuple[str, ...]
"""The words of a line of the payload, without its nonce; the last may hold blanks."""

_MARK_SIZE_MAX = 1_024
_NONCE = re.compile(r"[0-9a-f]{32}")


class Frames:
    r"""
    Splits one stream into bytes of scripts and marks of the payload.

    A mark is a line `\n<nonce> <words>\n`; both newlines belong to it, so that
    output without a final newline comes back exactly as it was.
    """

    def __init__(self, nonce: str) -> None:
        if _NONCE.fullmatch(nonce) is None:
            raise ValueError("a nonce is 32 hexadecimal digits")
        self._prefix = b"\n" + nonce.encode("ascii") + b" "
        self._held = b""

    def feed(self, data: bytes) -> list[bytes | Mark]:
        """Return what the next bytes complete, in order; the start of a possible mark is held back."""
        pieces: list[bytes | Mark] = []
        self._held += data
        while True:
            start = self._held.find(self._prefix)
            if start < 0:
                sure = len(self._held) - self._partial()
                self._give(pieces, sure)
                return pieces
            self._give(pieces, start)
            end = self._held.find(b"\n", len(self._prefix))
            if end < 0 and len(self._held) <= _MARK_SIZE_MAX:
                return pieces
            if end < 0:
                self._give(pieces, len(self._prefix))
                continue
            words = self._held[len(self._prefix) : end].decode("utf-8", errors="backslashreplace")
            pieces.append(tuple(words.split(" ", 3)))
            self._held = self._held[end + 1 :]

    def rest(self) -> bytes:
        """Return what was held back; for when the stream has ended."""
        rest, self._held = self._held, b""
        return rest

    def _give(self, pieces: list[bytes | Mark], size: int) -> None:
        if size > 0:
            pieces.append(self._held[:size])
            self._held = self._held[size:]

    def _partial(self) -> int:
        for size in range(min(len(self._prefix) - 1, len(self._held)), 0, -1):
            if self._held.endswith(self._prefix[:size]):
                return size
        return 0
