"""SQL's LIKE: % is any text, _ any one character, case counts, nothing escapes."""

import re
from collections.abc import Callable

__all__ = ["matcher"]


def matcher(pattern: str) -> Callable[[str], bool]:
    """
    Return the function that says whether a whole text is like the pattern.

    Each piece between two % is sought once, from left to right, so that the work
    grows with text times pattern and a long text from a host cannot stall a run.
    """
    head, *rest = pattern.split("%")
    if "_" not in pattern:
        if not rest:
            return lambda text: text == pattern
        if rest == [""]:
            return lambda text: text.startswith(head)
    pieces = [_piece(piece) for piece in (head, *rest)]
    if not rest:
        return lambda text: pieces[0].fullmatch(text) is not None
    first, *middle, last = pieces
    last_length = len(rest[-1])

    def matches(text: str) -> bool:
        found = first.match(text)
        for piece in middle:
            if found is None:
                return False
            found = piece.search(text, found.end())
        if found is None:
            return False
        start = len(text) - last_length
        return start >= found.end() and last.match(text, start) is not None

    return matches


def _piece(piece: str) -> re.Pattern[str]:
    return re.compile("".join("." if character == "_" else re.escape(character) for character in piece), re.DOTALL)
