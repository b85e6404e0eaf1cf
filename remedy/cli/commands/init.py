"""`remedy init`: a rules repository that works as it is."""

import re
import shutil
from pathlib import Path

from remedy.cli.commands.schema import SCHEMA_FOLDER, schema_comment, write_schemas
from remedy.cli.console import Talk
from remedy.errors import UsageError
from remedy.load.repository import load_repository, starter_rules

__all__ = ["run_init"]

_MODE = re.compile(r"^mode: fix\b.*$", re.MULTILINE)
_OBSERVE = "mode: observe   # change to `mode: fix` when you have seen what it finds"
_SUFFIXES = (".yaml", ".sh", ".ps1")

_REMEDY_YAML = """\
# Where things are; all keys are optional.
rules: rules
inventory: inventory.yaml
# state: /var/lib/remedy      # where `remedy apply` remembers what it did; readable by its user only
# On how many hosts fixes may start in any 24 hours, over all runs.
budgets: {per_rule: 200/24h, all: 500/24h}
# protected: dc:db-primary    # touched only when named one by one, and last
# freezes: [{from: 2026-12-23T00:00, to: 2027-01-02T06:00, zone: Europe/Berlin, reason: year end}]
"""

_INVENTORY = """\
# Ansible's YAML form. This machine first, so that `remedy scan` works at once; then your own hosts.
all:
  hosts:
    localhost:
      ansible_connection: local
    # web-1:
    #   ansible_host: 192.0.2.11
    #   ansible_user: remedy
"""

_README = """\
# Rules of remedy

    remedy validate            check every file
    remedy lint                look for what goes wrong with scripts
    remedy scan                judge the hosts; changes nothing
    remedy apply --dry-run     show what would run where, and what is held back and why

Every rule starts with `mode: observe`. When you have seen what it finds, change that line to
`mode: fix` in `rules/NAME/rule.yaml` and run `remedy apply --dry-run` again.

The first line of each YAML file names a schema in `.remedy/schemas`, by which editors with a YAML
language server complete and check. `remedy schema --write .remedy/schemas` renews them after an upgrade.
"""


def run_init(directory: str) -> int:
    """
    Make the repository and say what to do next.

    Raises:
        UsageError: the folder exists and has something in it, or cannot be made.
    """
    target = Path(directory)
    if target.exists() and (not target.is_dir() or any(each.name != ".git" for each in target.iterdir())):
        raise UsageError(f"{target} exists and is not an empty folder (but for .git); nothing was written")
    try:
        observed = _write(target)
    except OSError as exc:
        raise UsageError(f"{target} cannot be made: {exc.strerror}") from exc
    load_repository(target / "rules")
    talk = Talk(as_json=False)
    talk.result([f"made {target}: rules/, inventory.yaml, remedy.yaml, README.md, {SCHEMA_FOLDER}/"])
    talk.result([f"to let a rule fix, change `mode: observe` to `mode: fix` in {path}" for path in observed])
    talk.result([f"next: cd {target} && remedy validate && remedy scan"])
    return 0


def _write(target: Path) -> list[Path]:
    """Write all files; return the rules whose mode was turned to observe."""
    source = starter_rules()
    observed = []
    for path in sorted(source.rglob("*")):
        if path.suffix not in _SUFFIXES or not path.is_file():
            continue
        copy = target / "rules" / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".yaml":
            shutil.copyfile(path, copy)
            continue
        text, changed = _MODE.subn(_OBSERVE, path.read_text(encoding="utf-8"))
        if changed:
            observed.append(copy)
        depth = len(copy.relative_to(target).parts) - 1
        copy.write_text(schema_comment(path.stem, depth=depth) + text, encoding="utf-8")
    (target / "remedy.yaml").write_text(schema_comment("remedy", depth=0) + _REMEDY_YAML, encoding="utf-8")
    (target / "inventory.yaml").write_text(schema_comment("inventory", depth=0) + _INVENTORY, encoding="utf-8")
    write_schemas(target / SCHEMA_FOLDER)
    (target / "README.md").write_text(_README, encoding="utf-8")
    return observed
