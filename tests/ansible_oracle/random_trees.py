"""Inventories made at random: trees of groups with variables everywhere, in every form, and values of every type."""

import json
import shlex
from random import Random
from typing import Any

from tests.ansible_oracle.oracle_case import Case

__all__ = ["random_cases", "unreadable_lines", "value_cases"]

_SEEDS = 140
_NAMES = ("a", "b", "c", "colour", "port", "user")


def random_cases() -> list[Case]:
    """Return inventories of random groups: in INI, in YAML, in JSON, or a folder of all of them."""
    return [_random_case(seed) for seed in range(_SEEDS)]


class _Tree:
    """Hosts, groups without circles, and variables."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.hosts = [
            f"{random.choice(('web', 'db', 'x', 'app-1', 'n.example'))}{number}"
            for number in range(random.randint(1, 9))
        ]
        self.groups = [
            f"{random.choice(('g', 'web_', 'z', 'app', 'a_1'))}{number}" for number in range(random.randint(1, 8))
        ]
        random.shuffle(self.groups)
        self.members = {group: random.sample(self.hosts, random.randint(0, len(self.hosts))) for group in self.groups}
        # A child stands behind its parent, so there is no circle.
        self.children = {
            group: random.sample(self.groups[at + 1 :], random.randint(0, min(3, len(self.groups) - at - 1)))
            for at, group in enumerate(self.groups)
        }

    def variables(self, mark: str) -> dict[str, Any]:
        """Return some variables whose values say where they stand."""
        picked = self.random.sample(_NAMES, self.random.randint(0, 4))
        return {name: f"{name}-{mark}" for name in picked}

    def priority(self) -> int | None:
        """Return a group's priority, which most have not."""
        return self.random.choice((None, None, None, 1, 2, 5, 10, -3, 0))


def _random_case(seed: int) -> Case:
    random = Random(f"tree {seed}")
    tree = _Tree(random)
    form = ("ini", "yaml", "json", "folder")[seed % 4]
    files = {
        "ini": lambda: {"hosts": _ini(tree, tree.groups)},
        "yaml": lambda: {"hosts.yml": _yaml(tree, tree.groups)},
        "json": lambda: {"hosts.json": _yaml(tree, tree.groups)},
        "folder": lambda: _folder(tree),
    }[form]()
    for group in ("all", *tree.groups):
        if random.random() < 0.3:
            name = random.choice((f"group_vars/{group}", f"group_vars/{group}.yml", f"group_vars/{group}/x.yaml"))
            files[name] = json.dumps(tree.variables(f"file of {group}"))
    for host in tree.hosts:
        if random.random() < 0.2:
            files[f"host_vars/{host}.{random.choice(('yml', 'yaml', 'json'))}"] = json.dumps(
                tree.variables(f"file of {host}")
            )
    return Case(name=f"{form}-{seed}", files=files, source="." if form == "folder" else next(iter(files)))


def _folder(tree: _Tree) -> dict[str, str]:
    cut = tree.random.randint(0, len(tree.groups))
    files = {"20-rest.yaml": _yaml(tree, tree.groups[:cut])} if cut else {}
    return {"10-first": _ini(tree, tree.groups[cut:]), **files}


def _ini(tree: _Tree, groups: list[str]) -> str:
    sections = []
    if tree.random.random() < 0.4:
        sections.append("[all:vars]\n" + _assignments(tree, "all"))
    for group in groups:
        if tree.members[group] or tree.random.random() < 0.7:
            lines = (f"{host} {_inline(tree, f'{host} in {group}')}".strip() for host in tree.members[group])
            sections.append(f"[{group}]\n" + "\n".join(lines) + "\n")
        else:
            sections.append(f"[{group}]\n")
        children = [child for child in tree.children[group] if child in groups]
        if children:
            sections.append(f"[{group}:children]\n" + "\n".join(children) + "\n")
        if tree.random.random() < 0.6:
            priority = tree.priority()
            said = f"ansible_group_priority={priority}\n" if priority is not None else ""
            sections.append(f"[{group}:vars]\n{said}" + _assignments(tree, group))
    tree.random.shuffle(sections)
    alone = "".join(f"{host}\n" for host in tree.hosts if tree.random.random() < 0.4) or f"{tree.hosts[0]}\n"
    return alone + "\n" + "\n".join(sections)


def _inline(tree: _Tree, mark: str) -> str:
    return (
        " ".join(f'{name}="{value}"' for name, value in tree.variables(mark).items())
        if tree.random.random() < 0.3
        else ""
    )


def _assignments(tree: _Tree, mark: str) -> str:
    return "".join(f"{name}{tree.random.choice(('=', ' = '))}{value}\n" for name, value in tree.variables(mark).items())


def _yaml(tree: _Tree, groups: list[str]) -> str:
    top: dict[str, Any] = {"all": {"hosts": dict.fromkeys(tree.hosts[:2]), "vars": tree.variables("all")}}
    for group in groups:
        priority = tree.priority()
        variables = {**tree.variables(group), **({} if priority is None else {"ansible_group_priority": priority})}
        children = dict.fromkeys(child for child in tree.children[group] if child in groups)
        sections = [
            ("hosts", {host: tree.variables(f"{host} in {group}") or None for host in tree.members[group]}),
            ("vars", variables),
            ("children", children),
        ]
        tree.random.shuffle(sections)
        top[group] = {name: value for name, value in sections if value}
    return json.dumps(top, indent=1)


_VALUES = (
    *(
        "5",
        "05",
        "0",
        "-0",
        "+5",
        "5.0",
        "5.",
        ".5",
        "1e3",
        "1e400",
        "-1e400",
        "0x10",
        "0o10",
        "0b1",
        "1_0",
        "1__0",
        "9" * 18,
    ),
    *(
        "True",
        "true",
        "TRUE",
        "False",
        "None",
        "none",
        "null",
        "yes",
        "no",
        "Truex",
        "True ",
        "...",
        "1j",
        "1+2j",
        "1+2",
    ),
    *(
        "'a'",
        '"a"',
        "'a' 'b'",
        "'a",
        'a"',
        "b'x'",
        "r'\\d'",
        "u'x'",
        "f'x'",
        "rb'x'",
        "'\\d'",
        "'\\x41'",
        "'\\\\'",
        '"it\'s"',
    ),
    *(
        "[]",
        "[1, 2]",
        "[a]",
        "['a', 'b',]",
        "(1, 2)",
        "(1)",
        "()",
        "{}",
        "{'a': 1}",
        "{a: 1}",
        "{'a': [1, {'b': None}]}",
    ),
    *(
        '["en-US", "de"]',
        '{"a": true}',
        "[1, [2, [3]]]",
        "['a' 'b']",
        "[1] + [2]",
        "{'a': 1, 'a': 2}",
        "dict(a=1)",
        "set()",
    ),
    *(
        "a b",
        "a=b",
        "=",
        "==",
        "a:b",
        "http://h:80/p?q=1#f",
        "10.0.0.1",
        "10.0",
        "2024-01-01",
        "12:30",
        "1.2.3",
        "~/x",
        "/a/b",
    ),
    *(
        "$HOME",
        "{{ x }}",
        "{% if x %}",
        "a,b",
        "é",
        "'é'",
        "x # y",
        "5 # y",
        "'x' # y",
        "# y",
        "a#b",
        "\\",
        "\\n",
        "'a\\nb'",
    ),
    *(
        "not True",
        "1 if 1 else 2",
        "__import__('os')",
        "lambda: 1",
        "a.b",
        "a[0]",
        "*",
        "- 1",
        "--1",
        "1,",
        "1,2",
        "'a','b'",
    ),
)


def value_cases() -> list[Case]:
    """Return inventories with a host and a group for each value, in each quoting that a shell has."""
    forms = {
        form: value
        for value in _VALUES
        for form in (value, f"'{value}'", f'"{value}"', '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"')
    }
    lines = [f"host-{number} x={form} after=1" for number, form in enumerate(forms)]
    groups = "".join(
        f"[group_{number}]\nlone-{number}\n[group_{number}:vars]\ny={value}\nz = {value}\n"
        for number, value in enumerate(_VALUES)
    )
    good = [line for line in lines if _is_line(line)]
    return [Case(name="values", files={"hosts.ini": "\n".join(good) + "\n" + groups}, source="hosts.ini")]


def unreadable_lines() -> list[str]:
    """Return host lines that neither reads."""
    forms = (f"{quote}{value}{quote} b" for value in _VALUES for quote in ("", "'", '"'))
    return [line for line in (f"host x={form}" for form in forms) if not _is_line(line)][:20]


def _is_line(line: str) -> bool:
    try:
        return all("=" in word for word in shlex.split(line, comments=True)[1:])
    except ValueError:
        return False
