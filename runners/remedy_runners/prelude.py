"""
The shell functions that collectors in sh and bash get for nothing: `emit` and `not_applicable`.

Plain POSIX sh on a single line, so that line numbers in a script's own error
messages stay true; no external command, no unquoted expansion, safe under
`set -eu`. Every name of ours starts with `_remedy_`.
"""

import re
from collections.abc import Mapping

__all__ = ["collector_prelude"]

_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TYPES = ("text", "number", "boolean")

# A JSON string of $1 in _remedy_j: the part up to the next quote, backslash or
# control character is taken as it is, that one is escaped, and so on.
_JSON = (
    r"_remedy_json() { _remedy_j=; _remedy_r=$1; "
    r"while :; do _remedy_p=${_remedy_r%%[\"\\[:cntrl:]]*}; _remedy_j=$_remedy_j$_remedy_p; "
    r'_remedy_r=${_remedy_r#"$_remedy_p"}; if [ -z "$_remedy_r" ]; then break; fi; '
    r'_remedy_p=${_remedy_r#?}; _remedy_c=${_remedy_r%"$_remedy_p"}; _remedy_r=$_remedy_p; '
    r"case $_remedy_c in [\"\\]) _remedy_j=$_remedy_j\\$_remedy_c;; "
    r"""*) _remedy_j=$_remedy_j$(printf '\\u%04x' "'$_remedy_c");; esac; done; """
    r"_remedy_j=\"$_remedy_j\"; }"
)

# $1 in _remedy_j when it is a JSON number surely below 1e308, else null.
_NUMBER = (
    r"_remedy_number() { _remedy_j=null; _remedy_r=${1#-}; "
    r'_remedy_m=${_remedy_r%%[eE]*}; _remedy_e=${_remedy_r#"$_remedy_m"}; '
    r'_remedy_i=${_remedy_m%%.*}; _remedy_f=${_remedy_m#"$_remedy_i"}; '
    r"case $_remedy_i in ''|0?*|*[!0123456789]*) return 0;; esac; "
    r"case $_remedy_f in '') ;; .) return 0;; *) case ${_remedy_f#.} in *[!0123456789]*) return 0;; esac;; esac; "
    r"_remedy_x=0; case $_remedy_e in '') ;; *) _remedy_x=${_remedy_e#?}; _remedy_c=+; "
    r"case $_remedy_x in [-+]*) _remedy_c=${_remedy_x%%[0123456789]*}; _remedy_x=${_remedy_x#[-+]};; esac; "
    r"case $_remedy_x in ''|*[!0123456789]*) return 0;; esac; "
    r"while :; do case $_remedy_x in 0?*) _remedy_x=${_remedy_x#0};; *) break;; esac; done; "
    r"if [ ${#_remedy_x} -gt 4 ]; then return 0; fi; "
    r"case $_remedy_c in -) _remedy_x=0;; esac;; esac; "
    r"if [ $((${#_remedy_i} + _remedy_x)) -gt 308 ]; then return 0; fi; _remedy_j=$1; }"
)

_EMIT = (
    r"emit() { _remedy_o=; while [ $# -gt 0 ]; do _remedy_json "
    r'"$1"; _remedy_n=$_remedy_j; _remedy_v=${2-}; '
    r"case $1 in %s*) _remedy_t=text;; esac; "
    r"case $_remedy_t in number) _remedy_number "
    r'"$_remedy_v";; boolean) case $_remedy_v in true|false) _remedy_j=$_remedy_v;; *) _remedy_j=null;; esac;; '
    r"""*) case $_remedy_v in '') _remedy_j=null;; *) _remedy_json "$_remedy_v";; esac;; esac; """
    r"_remedy_o=$_remedy_o${_remedy_o:+,}$_remedy_n:$_remedy_j; shift; if [ $# -gt 0 ]; then shift; fi; done; "
    r"printf '{%%s}\n' "
    r'"$_remedy_o"; }'
)

_NOT_APPLICABLE = (
    r"""not_applicable() { _remedy_json "${1-}"; printf '{"not_applicable":%s}\n' "$_remedy_j"; exit 0; }"""
)


def collector_prelude(columns: Mapping[str, str]) -> bytes:
    """
    Return the line that defines `emit name value ...` and `not_applicable REASON`.

    `columns` maps a column to `text`, `number` or `boolean`. A number must be a
    JSON number (no sign but `-`, no leading zero) surely below 1e308, a boolean
    `true` or `false`; what is empty or no such thing becomes null. A column that
    is not known is printed as text, so that the reader refuses it.

    Raises:
        ValueError: a column's name or type is none.
    """
    for name, kind in columns.items():
        if _COLUMN.fullmatch(name) is None or kind not in _TYPES:
            raise ValueError(f"no column: {name!r} of type {kind!r}")
    cases = ""
    for kind in ("number", "boolean"):
        names = sorted(name for name, its in columns.items() if its == kind)
        if names:
            cases += f"{'|'.join(names)}) _remedy_t={kind};; "
    line = "; ".join((_JSON, _NUMBER, _EMIT % cases, _NOT_APPLICABLE)) + "; "
    return line.encode("ascii")
