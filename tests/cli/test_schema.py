"""`remedy schema`, and the lines by which an editor finds the schemas in a repository."""

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from remedy.cli.commands.init import run_init
from remedy.cli.commands.schema import OUTPUT_KINDS, SCHEMA_FOLDER
from remedy.cli.completion import complete_schema
from remedy.load import load_repository
from remedy.load.nodes import plain
from remedy.load.schema import SCHEMA_KINDS, load_schema, schema_bytes
from remedy.load.yaml_events import read_yaml
from remedy.render.schema import schema_keys, schema_text
from tests.cli.command_line import CommandLine

_COMMENT = re.compile(r"# yaml-language-server: \$schema=(\S+)")


@pytest.fixture
def line(tmp_path: Path) -> CommandLine:
    """The command line in an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture
def repository(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A repository as `remedy init` makes it."""
    run_init(str(tmp_path / "repository"))
    capsys.readouterr()
    return tmp_path / "repository"


def _schema_key_names(node: Any) -> set[str]:
    """Return the names of all keys that a schema allows anywhere."""
    if isinstance(node, Mapping):
        inner = {
            name for key, each in node.items() if key not in ("examples", "default") for name in _schema_key_names(each)
        }
        return inner | set(node["properties"]) if isinstance(node.get("properties"), Mapping) else inner
    return {name for each in node for name in _schema_key_names(each)} if isinstance(node, list) else set()


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_every_key_is_shown(kind: str) -> None:
    """What people read has every key of the schema, each once, with its form and a description."""
    schema = load_schema(kind)
    keys = schema_keys(schema)

    paths = [key.path for key in keys]
    assert len(set(paths)) == len(paths)
    assert {path.rpartition(".")[2] for path in paths} == _schema_key_names(schema)
    assert all(key.form and key.description for key in keys)


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_text_fits_into_a_narrow_terminal(kind: str) -> None:
    """In forty columns nothing is cut: lines fold, and every key and description is still there."""
    schema = load_schema(kind)
    narrow = Console(file=io.StringIO(), width=40, highlight=False, markup=False)

    for shown in schema_text(schema):
        narrow.print(shown)

    assert isinstance(narrow.file, io.StringIO)
    text = narrow.file.getvalue()
    words = re.sub(r"\s+", "", text)
    assert max(len(each) for each in text.splitlines()) <= 40
    for key in schema_keys(schema):
        assert re.sub(r"\s+", "", key.path + key.form) in words
        assert re.sub(r"\s+", "", key.description) in words


def test_text_says_form_default_and_example(line: CommandLine) -> None:
    """Each key is a line with its form and whether it is needed, and one with its meaning, default and example."""
    done = line.remedy("schema", "rule")

    lines = done.out.splitlines()
    assert done.code == 0
    assert "owner  text, at most 200 characters  (required)" in lines
    assert "risk  safe | disruptive | destructive  (required with mode: fix)" in lines
    assert "rollout.concurrency  a whole number from 1 to 500" in lines
    assert lines[lines.index("limits.cooldown  a duration such as 90s, 10m, 6h or 7d") + 1] == (
        "    How long an incident is left alone after any attempt; at most 366d. Default: 6h. Example: 24h"
    )
    assert any("The keys below are those of fix.linux." in each for each in lines)


def test_without_a_kind_all_are_listed(line: CommandLine) -> None:
    """`remedy schema` alone says which kinds of files there are."""
    done = line.remedy("schema")

    files = [[kind, f"{kind}.yaml"] for kind in SCHEMA_KINDS]
    assert [each.split()[:2] for each in done.out.splitlines()[1:]] == [
        *files,
        *([each, "apply"] for each in OUTPUT_KINDS),
    ]
    assert set(line.remedy("schema", "--json").json["schemas"]) == {*SCHEMA_KINDS, *OUTPUT_KINDS}


@pytest.mark.parametrize("kind", SCHEMA_KINDS)
def test_json_is_the_schema(line: CommandLine, kind: str) -> None:
    """--json and -o json print the very schema that validation goes by."""
    done = line.remedy("schema", kind, "--json")

    assert done.json == load_schema(kind)
    assert (kind != "rule") or line.remedy("schema", "rule.yaml", "-o", "json").out == done.out


@pytest.mark.parametrize(
    ("asked", "good", "bad"),
    [
        ("rule.rollout", {"waves": [1, "10%", "100%"]}, {"wave": [1]}),
        ("rule.fix.windows.timeout", "90s", "90"),
        ("rule.exempt.until", "2027-03-31", "soon"),
        ("signal.collect", {"linux": {"script": "a.sh"}}, {"linux": {}}),
    ],
)
def test_json_of_a_key_is_a_schema_that_stands_alone(line: CommandLine, asked: str, good: Any, bad: Any) -> None:
    """The JSON of a key is that part of the schema, with all that it refers to, also below a key like another."""
    schema = Draft202012Validator(line.remedy("schema", asked, "--json").json)

    assert schema.is_valid(good)
    assert not schema.is_valid(bad)


@pytest.mark.parametrize("kind", OUTPUT_KINDS)
def test_what_is_printed_has_a_schema_that_is_shown(line: CommandLine, kind: str) -> None:
    """The schemas of what remedy prints are shown and printed like those of files."""
    text = line.remedy("schema", kind)

    assert line.remedy("schema", kind, "--json").json == load_schema(kind)
    assert "exit_code  a whole number  (required)" in text.out


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("--write", "deep/schemas"), "../../deep/schemas/rule.schema.json"),
        (("signal", "--write", "here"), "../../../here/signal.schema.json"),
        (("remedy", "--write", "/tmp/../tmp"), "/tmp/../tmp/remedy.schema.json"),
    ],
)
def test_write_says_the_line_for_that_folder(line: CommandLine, words: tuple[str, ...], path: str) -> None:
    """The line for an editor leads to the folder that was written, not to where `init` would have put it."""
    if words[-1].startswith("/"):
        words = (*words[:-1], str(line.directory / "absolute"))
        path = str(line.directory / "absolute" / "remedy.schema.json")

    assert line.remedy("schema", *words).err.strip().endswith(f"$schema={path}")


@pytest.mark.parametrize(
    ("asked", "paths"),
    [
        ("rule.limits.attempts", ["limits.attempts", "limits.attempts.count", "limits.attempts.within"]),
        ("rule.exempt.until", ["exempt[].until"]),
        ("rule.exempt[].until", ["exempt[].until"]),
        ("rule.cooldown", ["limits.cooldown"]),
        ("signal.collect.windows", ["collect.windows"]),
        ("inventory.ansible_port", ["NAME.hosts.NAME.ansible_port"]),
        ("rule.fix.windows.timeout", ["fix.windows.timeout"]),
        ("output-apply.plan.digest", ["plan.digest"]),
    ],
)
def test_one_key_is_shown_with_those_below(line: CommandLine, asked: str, paths: list[str]) -> None:
    """A key is found by its path, with or without brackets, or by its last word."""
    done = line.remedy("schema", asked)

    assert done.code == 0
    assert re.findall(r"^(\S+)  ", done.out, re.MULTILINE) == paths


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("rul", "rul: there is no such kind of file; rule?"),
        ("x", "rule or signal or tests or remedy or inventory?"),
        ("rule.rolout", "rule.rolout: rule.yaml has no such key; rollout"),
        ("rule.limits.cooldwn", "limits.cooldown"),
        ("remedy.zzz", "`remedy schema remedy` shows all"),
    ],
)
def test_unknown_names_are_exit_6_with_the_nearest(line: CommandLine, asked: str, said: str) -> None:
    """A kind or key that does not exist is exit 6, and the message offers what was probably meant."""
    done = line.remedy("schema", asked)

    assert (done.code, done.out) == (6, "")
    assert said in done.err


@pytest.mark.parametrize(
    "words",
    [("rule.nonesuch.x", "--write", "x"), ("rule.rollout", "--write", "x"), ("--write", ""), ("--write", "file/x")],
)
def test_what_cannot_be_is_refused(line: CommandLine, words: tuple[str, ...]) -> None:
    """Writing a key, and a folder that cannot be made, are usage errors in one line; nothing is written."""
    (line.directory / "file").write_text("")

    done = line.remedy("schema", *words)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("remedy: ")
    assert len(done.err.splitlines()) == 1
    assert not (line.directory / "x").exists()


def test_write_renews_what_is_old(line: CommandLine) -> None:
    """--write puts the package's schemas into a folder; the second time only what is another is written."""
    folder = line.directory / "deep" / "schemas"
    first = line.remedy("schema", "--write", "deep/schemas")
    (folder / "rule.schema.json").write_text("{}")
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    second = line.remedy("schema", "--write", "deep/schemas", "-o", "json")

    assert first.out.splitlines() == [f"wrote deep/schemas/{kind}.schema.json" for kind in SCHEMA_KINDS]
    assert [path for path, changed in second.json["written"].items() if changed] == ["deep/schemas/rule.schema.json"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{kind}.schema.json": schema_bytes(kind) for kind in SCHEMA_KINDS
    }
    assert {path.name for path in folder.iterdir() if path.stat().st_mtime_ns != times[path.name]} == {
        "rule.schema.json"
    }


def test_write_of_one_kind_writes_one(line: CommandLine) -> None:
    """With a kind only that schema is written."""
    line.remedy("schema", "signal", "--write", "here")

    assert [path.name for path in (line.directory / "here").iterdir()] == ["signal.schema.json"]


def _files(repository: Path) -> list[Path]:
    return sorted(path for path in repository.rglob("*.yaml") if not path.name.startswith("."))


def test_each_file_of_a_new_repository_names_its_schema(repository: Path) -> None:
    """The first line of every YAML file leads, by a path from that file, to the schema of its kind."""
    kinds = set()
    for path in _files(repository):
        found = _COMMENT.fullmatch(path.read_text().splitlines()[0])
        assert found is not None, path
        schema = (path.parent / found[1]).resolve()
        kinds.add(path.stem)

        assert schema == repository / SCHEMA_FOLDER / f"{path.stem}.schema.json"
        assert schema.read_bytes() == schema_bytes(path.stem)
    assert kinds == set(SCHEMA_KINDS)


def test_each_file_of_a_new_repository_is_valid_by_its_schema(repository: Path) -> None:
    """An editor that follows the line marks nothing: the schema that it finds accepts the file."""
    for path in _files(repository):
        schema = json.loads((repository / SCHEMA_FOLDER / f"{path.stem}.schema.json").read_text())
        raw = plain(read_yaml(path.read_bytes(), file=str(path)))

        assert not [error.message for error in Draft202012Validator(schema).iter_errors(raw)], path


def test_moved_repository_still_finds_its_schemas(repository: Path, tmp_path: Path) -> None:
    """The lines hold wherever the repository is cloned to: none names a folder of this machine."""
    moved = repository.rename(tmp_path / "elsewhere")

    for path in _files(moved):
        found = _COMMENT.match(path.read_text())
        assert found is not None
        assert (path.parent / found[1]).is_file()


@pytest.mark.parametrize("at", ["first", "after a blank line", "last", "twice"])
def test_loader_accepts_the_line(repository: Path, at: str) -> None:
    """Wherever the line stands, the strict loader takes it for the comment that it is: the rule keeps its digest."""
    rule = repository / "rules" / "low-disk" / "rule.yaml"
    before = load_repository(repository / "rules").rules["low-disk"]
    comment, _, rest = rule.read_text().partition("\n")
    texts = {
        "first": f"{comment}\n{rest}",
        "after a blank line": f"\n{comment}\n{rest}",
        "last": f"{rest}{comment}\n",
        "twice": f"{comment}\n{comment}\n---\n{rest}",
    }

    rule.write_text(texts[at])

    assert load_repository(repository / "rules").rules["low-disk"].digest == before.digest


def test_schemas_are_no_rules(line: CommandLine, repository: Path) -> None:
    """A repository with its schemas validates, also when they lie among the rules."""
    (repository / ".remedy").rename(repository / "rules" / ".remedy")
    line.directory = repository

    done = line.remedy("validate")

    assert done.code == 0
    assert "no problems" in done.out
    assert not done.err


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("r", ["rule", "remedy"]),
        ("", list(SCHEMA_KINDS)),
        ("rule.limits.a", ["rule.limits.attempts", "rule.limits.attempts.count", "rule.limits.attempts.within"]),
        ("nosuch.", []),
    ],
)
def test_shell_completes_kinds_and_keys(begun: str, offered: list[str]) -> None:
    """A shell completes a kind of file, and after a dot its keys."""
    assert complete_schema(begun) == offered


def test_help_has_an_example(line: CommandLine) -> None:
    """The help shows how it is typed."""
    assert re.search(r"^ +remedy schema rule", line.remedy("schema", "--help").out, re.MULTILINE)
