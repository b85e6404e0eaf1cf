"""`remedy schema`: what a kind of file may hold, for people and for editors, and what a kind of output has."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from remedy.cli.composition import Options
from remedy.cli.console import Talk
from remedy.errors import NothingNamed, UsageError
from remedy.load.schema import SCHEMA_KINDS, load_schema, schema_bytes
from remedy.render.schema import SchemaKey, key_lines, kinds_text, schema_keys, schema_text, subschema
from remedy.render.tables import table
from remedy.text import nearest

__all__ = ["OUTPUT_KINDS", "SCHEMA_FOLDER", "run_schema", "schema_comment", "write_schemas"]

SCHEMA_FOLDER = ".remedy/schemas"
"""Where `init` puts the schemas: in the repository, so that its files can name them by a path that holds everywhere."""

OUTPUT_KINDS: Mapping[str, str] = {
    "output-apply": "apply -o json",
    "output-apply-line": "apply -o jsonl",
}
"""What remedy itself prints, and of which output it is; not of files, so that editors are not told of them."""


def run_schema(options: Options, kind: str | None, *, write: str | None) -> int:
    """
    Show a schema, all of them, or one key; or write them into a folder.

    Raises:
        NothingNamed: there is no such kind or key.
        UsageError: the folder cannot be written.
    """
    talk = Talk(as_json=options.output == "json")
    name, _, key = (kind or "").removesuffix(".yaml").partition(".")
    known = (*SCHEMA_KINDS, *OUTPUT_KINDS)
    if kind is not None and name not in known:
        near = nearest(name, known)
        raise NothingNamed(f"{kind}: there is no such kind of file; {' or '.join(near or SCHEMA_KINDS)}?")
    if write is not None:
        _write(talk, write, [name] if kind else SCHEMA_KINDS, key)
    elif kind is None:
        _show_kinds(talk)
    elif talk.as_json:
        whole = load_schema(name)
        talk.result_json(subschema(whole, _chosen(name, key)[0].path) if key else whole)
    elif key:
        talk.result(key_lines(_chosen(name, key)))
    else:
        schema = load_schema(name)
        talk.result(schema_text(schema) if "allOf" not in schema else kinds_text(schema))
    return 0


def write_schemas(folder: Path, kinds: Sequence[str] = SCHEMA_KINDS) -> dict[Path, bool]:
    """Write the schemas of these kinds; return each file with whether it is new or another than before."""
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Path, bool] = {}
    for kind in kinds:
        path, schema = folder / f"{kind}.schema.json", schema_bytes(kind)
        written[path] = not path.is_file() or path.read_bytes() != schema
        if written[path]:
            path.write_bytes(schema)
    return written


def schema_comment(kind: str, *, depth: int, folder: str = SCHEMA_FOLDER) -> str:
    """Return the line by which an editor finds the schema, for a file so many folders below where `folder` is named."""
    above = "" if Path(folder).is_absolute() else "../" * depth
    return f"# yaml-language-server: $schema={above}{Path(folder).as_posix()}/{kind}.schema.json\n"


def _write(talk: Talk, folder: str, kinds: Sequence[str], key: str) -> None:
    if key or not folder.strip():
        raise UsageError("--write takes a folder, and whole kinds of files; nothing was written")
    try:
        written = write_schemas(Path(folder), kinds)
    except OSError as exc:
        raise UsageError(f"--write {folder}: {exc.filename or folder}: {exc.strerror}") from exc
    if talk.as_json:
        talk.result_json({"schema": 1, "written": {str(path): changed for path, changed in written.items()}})
        return
    talk.result([f"{'wrote' if changed else 'unchanged'} {path}" for path, changed in written.items()])
    kind = kinds[0]
    depth = {"rule": 2, "tests": 2, "signal": 3}.get(kind, 0)
    where = {"rule": "rules/NAME/", "tests": "rules/NAME/", "signal": "rules/signals/NAME/"}.get(kind, "")
    comment = schema_comment(kind, depth=depth, folder=folder).strip()
    talk.say(f"the first line of {where}{kind}.yaml, by which editors find it: {comment}")


def _show_kinds(talk: Talk) -> None:
    schemas: dict[str, Any] = {kind: load_schema(kind) for kind in (*SCHEMA_KINDS, *OUTPUT_KINDS)}
    if talk.as_json:
        talk.result_json({"schema": 1, "schemas": schemas})
        return
    talk.result(
        [
            table(
                ("kind", "file", "what"),
                [(kind, OUTPUT_KINDS.get(kind, f"{kind}.yaml"), schemas[kind]["description"]) for kind in schemas],
            )
        ]
    )
    talk.say("remedy schema KIND shows its keys; --json and --write DIR are for editors")


def _chosen(kind: str, asked: str) -> Sequence[SchemaKey]:
    """Return the key that was asked for, and those below it; by its last word, when the whole names none."""
    keys = schema_keys(load_schema(kind))
    wanted = asked.replace("[]", "")
    plain = {key.path: key.path.replace("[]", "") for key in keys}
    chosen = [key for key in keys if f"{plain[key.path]}.".startswith(f"{wanted}.")]
    chosen = chosen or _chosen_elsewhere(keys, plain, wanted)
    chosen = chosen or [key for key in keys if plain[key.path].endswith(f".{wanted}")]
    if not chosen:
        known = {name for path in plain.values() for name in (path, path.rpartition(".")[2])}
        near = nearest(wanted, known)
        hint = f"{' or '.join(near)}?" if near else f"`remedy schema {kind}` shows all"
        raise NothingNamed(f"{kind}.{asked}: {OUTPUT_KINDS.get(kind, f'{kind}.yaml')} has no such key; {hint}")
    return chosen


def _chosen_elsewhere(keys: Sequence[SchemaKey], plain: Mapping[str, str], wanted: str) -> list[SchemaKey]:
    """Return keys below one that has the same as another, under the path that was asked for."""
    for key in keys:
        if not key.same_as or not wanted.startswith(f"{plain[key.path]}."):
            continue
        there = plain[key.same_as] + wanted.removeprefix(plain[key.path])
        below = [each for each in keys if f"{plain[each.path]}.".startswith(f"{there}.")]
        return [replace(each, path=key.path + each.path.removeprefix(key.same_as)) for each in below]
    return []
