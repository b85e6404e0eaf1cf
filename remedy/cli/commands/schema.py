"""`remedy schema`: what a kind of file may hold, for people and for editors."""

from collections.abc import Sequence
from pathlib import Path

from remedy.cli.composition import Options
from remedy.cli.console import Talk
from remedy.errors import NothingNamed, UsageError
from remedy.load.schema import SCHEMA_KINDS, load_schema, schema_bytes
from remedy.render.schema import SchemaKey, key_lines, schema_keys, schema_text
from remedy.render.tables import table
from remedy.text import nearest

__all__ = ["SCHEMA_FOLDER", "run_schema", "schema_comment", "write_schemas"]

SCHEMA_FOLDER = ".remedy/schemas"
"""Where `init` puts the schemas: in the repository, so that its files can name them by a path that holds everywhere."""


def run_schema(options: Options, kind: str | None, *, write: str | None) -> int:
    """
    Show a schema, all of them, or one key; or write them into a folder.

    Raises:
        NothingNamed: there is no such kind or key.
        UsageError: the folder cannot be written, or JSON was asked of a key.
    """
    talk = Talk(as_json=options.output == "json")
    name, _, key = (kind or "").removesuffix(".yaml").partition(".")
    if kind is not None and name not in SCHEMA_KINDS:
        near = nearest(name, SCHEMA_KINDS)
        raise NothingNamed(f"{kind}: there is no such kind of file; {' or '.join(near or SCHEMA_KINDS)}?")
    if write is not None:
        _write(talk, write, [name] if kind else SCHEMA_KINDS, key)
    elif kind is None:
        _show_kinds(talk)
    elif talk.as_json:
        if key:
            raise UsageError(f"{kind}: JSON is of a whole kind of file; leave out .{key}")
        talk.result_json(load_schema(name))
    elif key:
        talk.result(key_lines(_chosen(name, key)))
    else:
        talk.result(schema_text(load_schema(name)))
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


def schema_comment(kind: str, *, depth: int) -> str:
    """Return the line by which an editor finds the schema, for a file so many folders below the repository's top."""
    return f"# yaml-language-server: $schema={'../' * depth}{SCHEMA_FOLDER}/{kind}.schema.json\n"


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
    talk.say(f"the first line of a rule.yaml beside it: {schema_comment('rule', depth=2).strip()}")


def _show_kinds(talk: Talk) -> None:
    schemas = {kind: load_schema(kind) for kind in SCHEMA_KINDS}
    if talk.as_json:
        talk.result_json({"schema": 1, "schemas": schemas})
        return
    talk.result(
        [table(("kind", "file", "what"), [(kind, f"{kind}.yaml", schemas[kind]["description"]) for kind in schemas])]
    )
    talk.say("remedy schema KIND shows its keys; --json and --write DIR are for editors")


def _chosen(kind: str, asked: str) -> Sequence[SchemaKey]:
    """Return the key that was asked for, and those below it; by its last word, when the whole names none."""
    keys = schema_keys(load_schema(kind))
    wanted = asked.replace("[]", "")
    plain = {key.path: key.path.replace("[]", "") for key in keys}
    chosen = [key for key in keys if f"{plain[key.path]}.".startswith(f"{wanted}.")]
    chosen = chosen or [key for key in keys if plain[key.path].endswith(f".{wanted}")]
    if not chosen:
        known = {name for path in plain.values() for name in (path, path.rpartition(".")[2])}
        near = nearest(wanted, known)
        hint = f"{' or '.join(near)}?" if near else f"`remedy schema {kind}` shows all"
        raise NothingNamed(f"{kind}.{asked}: {kind}.yaml has no such key; {hint}")
    return chosen
