"""`--since REV`: which rules a branch has changed, by the files that they are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remedy.cli.caller import Caller
from remedy.cli.composition import Loaded, Options, read_config
from remedy.cli.revision import Changes, changed_since
from remedy.load.repository import Repository
from remedy.model import Rule
from remedy.text import counted
from remedy.verdicts import needed_signals

__all__ = ["Since", "only_changed"]

_BESIDE_INVENTORY = ("group_vars", "host_vars")


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """
    Which rules differ from a revision.

    `changed` are those of which a file differs, `removed` those that are no more;
    `every` says what makes all rules count ('' for nothing).
    """

    revision: str
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    every: str = ""

    def sentence(self) -> str:
        """Return what is judged, and why just that."""
        gone = f"; removed: {', '.join(self.removed)}" if self.removed else ""
        if self.every:
            return f"all rules are judged, because {self.every} changed since {self.revision}{gone}"
        if not self.changed:
            return f"no rule changed since {self.revision}{gone}"
        return f"{counted(len(self.changed), 'rule')} changed since {self.revision}: {', '.join(self.changed)}{gone}"


def only_changed(loaded: Loaded, options: Options, caller: Caller, revision: str) -> tuple[Loaded, Since]:
    """
    Return what was loaded with only the rules that changed, and what was found.

    A rule has changed when its rule.yaml, one of its scripts, or a file of a signal
    that it reads differs; its tests do not count, for they change nothing on a host.
    When the inventory or remedy.yaml differs, every rule counts.

    Raises:
        UsageError: git cannot say; with the cure.
    """
    config = read_config(options, caller)
    repository = loaded.repository
    root = (caller.directory / repository.root).resolve()
    changes = changed_since(revision, root)
    since = Since(
        revision=revision,
        changed=tuple(rule.name for rule in repository.rules.values() if _has_changed(rule, repository, root, changes)),
        removed=tuple(_removed(repository, root, changes)),
        every=_every(config.inventory, (*config.safeguard_files, config.config_file), caller.directory, changes),
    )
    if since.every:
        return loaded, since
    scopes = tuple(scope for scope in loaded.selection.scopes if scope.rule.name in since.changed)
    return replace(loaded, selection=replace(loaded.selection, scopes=scopes)), since


def _has_changed(rule: Rule, repository: Repository, root: Path, changes: Changes) -> bool:
    return any(changes.has(root / name) for name in _files(rule, repository))


def _files(rule: Rule, repository: Repository) -> Iterator[str]:
    """Yield the files that a rule is made of, below the rules folder."""
    yield f"{rule.name}/rule.yaml"
    yield from (script.path for script in rule.fix.values())
    for name in needed_signals([rule]):
        yield f"signals/{name}/signal.yaml"
        yield from (script.path for script in repository.signals[name].collect.values())


def _removed(repository: Repository, root: Path, changes: Changes) -> Iterator[str]:
    """Yield the names of rules whose rule.yaml was there and is no more."""
    for path in sorted(changes.paths):
        is_rule = path.name == "rule.yaml" and path.parent.parent == root
        if is_rule and path.parent.name not in repository.rules and not path.exists():
            yield path.parent.name


def _every(inventory: str | None, settings: Sequence[Path | None], directory: Path, changes: Changes) -> str:
    """Return which file that all rules depend on has changed, '' for none."""
    for path in settings:
        if path is not None and changes.has(path):
            return path.name
    source = directory / inventory if inventory is not None and inventory != "-" else None
    if source is None or "," in str(inventory):
        return ""
    folder = source.parent
    if changes.has(source) or any(changes.has(folder / name) for name in _BESIDE_INVENTORY):
        return "the inventory"
    return ""
