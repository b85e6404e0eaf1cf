"""Who may write to the folder of markers: the loader's own function, given rights that only Windows has."""

import re
from collections.abc import Sequence
from pathlib import Path

import remedy_runners.powershell
from tests.powershell_lane.bench import Bench
from tests.powershell_lane.case import Case, Expected, Run

__all__ = ["cases"]

_FIX = Path(remedy_runners.powershell.__file__).with_name("fix.ps1")
_TRUSTED = ("S-1-5-32-544", "S-1-5-18", "S-1-5-21-1-2-3-500")
_ADMINISTRATORS, _SYSTEM, _LOGIN = ((who, 0x1F01FF, "Allow") for who in _TRUSTED)
_READ, _ALL = 0x1200A9, 0x1F01FF
_USERS, _EVERYBODY, _MAKER = "S-1-5-32-545", "S-1-1-0", "S-1-3-0"

_RIGHTS: dict[str, tuple[Sequence[tuple[str, int, str]], bool]] = {
    # name: (who, what, whether it is allowed or denied; whether others may write)
    "as it is made": ((_ADMINISTRATORS, _SYSTEM), False),
    "the login's own": ((_ADMINISTRATORS, _LOGIN), False),
    "no entry at all": ((), False),
    "users read": ((_SYSTEM, (_USERS, _READ, "Allow")), False),
    "all for who makes something": ((_SYSTEM, (_MAKER, 0x10000000, "Allow")), False),
    "users are denied": ((_SYSTEM, (_USERS, _ALL, "Deny")), False),
    "users add files, as a folder inherits it there": ((_SYSTEM, (_USERS, 0x2, "Allow")), True),
    "users add folders": ((_SYSTEM, (_USERS, 0x4, "Allow")), True),
    "users set attributes": ((_SYSTEM, (_USERS, 0x100, "Allow")), True),
    "users remove what is in it": ((_SYSTEM, (_USERS, 0x40, "Allow")), True),
    "users remove it": ((_SYSTEM, (_USERS, 0x10000, "Allow")), True),
    "users change its rights": ((_SYSTEM, (_USERS, 0x40000, "Allow")), True),
    "users take it": ((_SYSTEM, (_USERS, 0x80000, "Allow")), True),
    "all for everybody": (((_EVERYBODY, _ALL, "Allow"),), True),
    "generic writing": (((_USERS, 0x40000000, "Allow"),), True),
    "generic everything": (((_USERS, 0x10000000, "Allow"),), True),
    "another administrator": ((_SYSTEM, ("S-1-5-21-1-2-3-501", _ALL, "Allow")), True),
}


def _function() -> str:
    found = re.search(r"(?ms)^function remedy_others_may_write \{.*?^\}$", _FIX.read_text(encoding="ascii"))
    if found is None:
        raise ValueError("fix.ps1 has no function remedy_others_may_write")
    return found[0]


def _planted(rules: Sequence[tuple[str, int, str]]) -> str:
    made = [
        f"[pscustomobject]@{{AccessControlType='{kind}';FileSystemRights={rights};"
        f"IdentityReference=[pscustomobject]@{{Value='{who}'}}}}"
        for who, rights, kind in rules
    ]
    return (
        f"$security=[pscustomobject]@{{Rules=@({','.join(made)})}}\n"
        "Add-Member -InputObject $security -MemberType ScriptMethod -Name GetAccessRules -Value {$this.Rules}\n"
    )


def _case(name: str, rules: Sequence[tuple[str, int, str]], *, others: bool) -> Case:
    trusted = ",".join(f"'{who}'" for who in _TRUSTED)
    script = f"{_function()}\n{_planted(rules)}[string](remedy_others_may_write $security @({trusted}))"

    def act(bench: Bench) -> None:
        heard = bench.run(Run(kind="plain", script=script.encode("ascii")))
        bench.judge(heard, Expected(trailer="end 0", printed=f"{others}\n".encode()))

    return Case(group="folder", name=f"who may write there: {name}", act=act)


def cases() -> list[Case]:
    """Return the cases."""
    return [_case(name, rules, others=others) for name, (rules, others) in _RIGHTS.items()]
