"""`apply --dry-run --since REV`: only rules of which a file differs, by git, and never fewer."""

import shutil
from pathlib import Path

import pytest

from tests.cli.dry_runs import Checkout


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A committed repository with readings of this machine, made once."""
    return Checkout.made(tmp_path_factory.mktemp("original"))


@pytest.fixture
def checkout(original: Checkout, tmp_path: Path) -> Checkout:
    """A copy of it for one test."""
    return original.copied(tmp_path)


def _judged(checkout: Checkout, revision: str = "HEAD", *words: str) -> list[str]:
    """Return the rules that are judged."""
    done = checkout.line.remedy(
        *("apply", "--dry-run", "--offline", "--readings", "readings.jsonl", "--since", revision, "-o", "json"), *words
    )
    assert done.code in (0, 4), done.err
    return [rule["rule"] for rule in done.json["plan"]["rules"]]


@pytest.mark.parametrize(
    ("changed", "judged"),
    [
        ("rules/high/rule.yaml", ["high"]),
        ("rules/high/fix.sh", ["high"]),
        ("rules/signals/flag/signal.yaml", ["high"]),
        ("rules/signals/flag/linux.sh", ["high"]),
        ("rules/signals/mark/linux.sh", ["other"]),
        ("rules/high/tests.yaml", []),
        (".gitignore", []),
        ("inventory.yaml", ["high", "other"]),
        ("remedy.yaml", ["high", "other"]),
    ],
)
def test_rule_is_judged_when_a_file_of_it_differs(checkout: Checkout, changed: str, judged: list[str]) -> None:
    """Its rule.yaml, its scripts, its signals count, not its tests; the inventory and remedy.yaml count for all."""
    base = checkout.git("rev-parse", "HEAD")
    checkout.append(changed)
    checkout.commit("a change")

    assert _judged(checkout, base) == judged


def test_work_tree_counts_as_it_is(checkout: Checkout) -> None:
    """What is not committed yet counts as well, staged or not."""
    checkout.append("rules/high/fix.sh")
    checkout.append("rules/signals/mark/linux.sh")
    checkout.git("add", "rules/high/fix.sh")

    assert _judged(checkout) == ["high", "other"]


def test_signal_that_only_the_condition_names_counts(checkout: Checkout) -> None:
    """A rule reads every signal that its condition names; a change of any of them is a change of the rule."""
    mark = (checkout.root / "rules/signals/mark/signal.yaml").read_text()
    checkout.write("rules/signals/mark/signal.yaml", mark.replace("key: [part]\n", "rows: one\n"))
    rule = (checkout.root / "rules/high/rule.yaml").read_text()
    checkout.write("rules/high/rule.yaml", rule.replace("when: level > 5", "when: level > 5 and mark.level < 3"))
    base = checkout.commit("both")
    checkout.append("rules/signals/mark/linux.sh")

    assert _judged(checkout, base) == ["high", "other"]


def test_new_and_removed_rules_are_said(checkout: Checkout) -> None:
    """A rule that git does not track yet is judged; one that is no more is named, also in the comment."""
    for name in ("rule.yaml", "fix.sh"):
        text = (checkout.root / "rules/other" / name).read_text().replace("rule: other", "rule: newer")
        checkout.write(f"rules/newer/{name}", text)
        (checkout.root / "rules/other" / name).unlink()
    words = ("apply", "--dry-run", "--offline", "--readings", "readings.jsonl", "--since", "HEAD")
    done = checkout.line.remedy(*words, "-o", "json")
    comment = checkout.line.remedy(*words, "-o", "markdown")

    assert [rule["rule"] for rule in done.json["plan"]["rules"]] == ["newer"]
    assert done.json["removed"] == ["other"]
    assert "removed: other" in comment.out


def test_variables_beside_the_inventory_count_for_all(checkout: Checkout) -> None:
    """A file of group_vars may change what any rule does on any host."""
    checkout.write("group_vars/all.yaml", "remedy_params: {}\n")

    assert _judged(checkout) == ["high", "other"]


def test_nothing_changed_is_said_and_exit_0(checkout: Checkout) -> None:
    """When no rule changed it is said, the exit code is 0, and the comment is empty."""
    words = ("apply", "--dry-run", "--offline", "--readings", "readings.jsonl", "--since", "HEAD")
    text = checkout.line.remedy(*words, "--detailed-exitcode")
    comment = checkout.line.remedy(*words, "-o", "markdown")

    assert (text.code, text.out) == (0, "no rule changed since HEAD; nothing to judge\n")
    assert (comment.code, comment.out) == (0, "")


def test_branch_is_compared_with_where_it_left(checkout: Checkout) -> None:
    """What others changed on main since is none of this branch's changes."""
    checkout.git("checkout", "--quiet", "-b", "mine")
    checkout.append("rules/high/rule.yaml")
    checkout.commit("mine")
    checkout.git("checkout", "--quiet", "main")
    checkout.append("rules/other/rule.yaml")
    checkout.commit("theirs")
    checkout.git("checkout", "--quiet", "mine")

    assert _judged(checkout, "main") == ["high"]


@pytest.mark.parametrize("revision", ["nonesuch", "--output=x", "HEAD~99", ""])
def test_unknown_revision_is_exit_1_with_the_cure(checkout: Checkout, revision: str) -> None:
    """A revision that git does not know, whatever it looks like, is exit 1 and says what to name instead."""
    done = checkout.line.remedy(
        "apply", "--dry-run", "--offline", "--readings", "readings.jsonl", f"--since={revision}", "-o", "markdown"
    )

    assert (done.code, done.out) == (1, "")
    assert "--since" in done.err
    assert not (checkout.root / "x").exists()


def test_shallow_clone_says_what_to_fetch(checkout: Checkout, tmp_path: Path) -> None:
    """In a shallow clone the message names fetch-depth: 0, whether the revision or the common commit is missing."""
    old = checkout.git("rev-parse", "HEAD")
    checkout.append("rules/high/rule.yaml")
    checkout.commit("newer")
    shallow = tmp_path / "home" / "shallow"
    checkout.git("clone", "--quiet", "--depth", "1", f"file://{checkout.root}", str(shallow))
    checkout.line.directory = shallow
    (shallow / "readings.jsonl").write_bytes((checkout.root / "readings.jsonl").read_bytes())

    words = ("apply", "--dry-run", "--offline", "--readings", "readings.jsonl", "--since")
    missing = checkout.line.remedy(*words, old)
    checkout.git("fetch", "--quiet", "--depth", "1", "origin", old, folder=shallow)
    apart = checkout.line.remedy(*words, old)

    assert (missing.code, apart.code) == (1, 1)
    assert "shallow clone" in missing.err
    assert "fetch-depth: 0" in missing.err
    assert "fetch-depth: 0" in apart.err


def test_without_a_checkout_it_is_exit_1(checkout: Checkout, tmp_path: Path) -> None:
    """Rules that lie in no checkout, and a machine without git, are exit 1 with the cure."""
    line = checkout.line
    shutil.rmtree(tmp_path / ".git")
    words = ("apply", "--dry-run", "--offline", "--readings", "readings.jsonl", "--since", "HEAD")
    none = line.remedy(*words)
    line.environment["PATH"] = str(tmp_path / "home")
    no_git = line.remedy(*words)

    assert (none.code, no_git.code) == (1, 1)
    assert "must lie in a checkout of git" in none.err
    assert "git cannot be run" in no_git.err


def test_hook_of_another_repository_does_not_lead_astray(checkout: Checkout, tmp_path: Path) -> None:
    """The variables that git sets for its hooks do not make it look at another repository."""
    other = tmp_path / "home" / "other"
    checkout.git("init", "--quiet", str(other))
    checkout.line.environment["GIT_DIR"] = str(other / ".git")
    checkout.append("rules/high/rule.yaml")

    assert _judged(checkout) == ["high"]


@pytest.mark.parametrize(
    "words",
    [
        ("apply", "--yes", "--since", "HEAD"),
        ("apply", "--dry-run", "--plan", "plan.json", "--since", "HEAD"),
        ("apply", "--yes", "-o", "markdown"),
        ("apply", "--yes", "-o", "jsonl"),
        ("apply", "--dry-run", "--offline"),
        ("apply", "--dry-run", "-o", "xml"),
    ],
)
def test_what_cannot_be_meant_is_refused(checkout: Checkout, words: tuple[str, ...]) -> None:
    """What only a dry run has is refused without one, and --offline without readings; nobody is contacted."""
    done = checkout.line.remedy(*words)

    assert (done.code, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("revision", "cure"),
    [
        ("origin/main", "run `git fetch origin main` first"),
        ("origin/release/2", "run `git fetch origin release/2` first"),
        ("nonesuch", "name a commit, tag or branch, such as origin/main"),
        ("origin/", "name a commit, tag or branch, such as origin/main"),
        ("origin/a;b", "name a commit, tag or branch, such as origin/main"),
    ],
)
def test_unknown_branch_of_origin_names_the_fetch(checkout: Checkout, revision: str, cure: str) -> None:
    """A branch of origin that this clone does not have is fetched with the command that the message names."""
    done = checkout.line.remedy("apply", "--dry-run", "--offline", "--readings", "readings.jsonl", "--since", revision)

    assert done.code == 1
    assert done.err.endswith(f"--since {revision}: git knows no such revision here; {cure}\n")
