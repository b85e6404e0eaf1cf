"""GitHub's workflow and the action: what their steps run, run here, in a clone with a stand-in for GitHub."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from remedy.cli.commands.init import run_init, starter_ci
from tests.ci.pipelines import EXPRESSION, Forge, Ran, Runner, read_pipeline
from tests.cli.command_line import CommandLine
from tests.cli.dry_runs import Checkout

_ROOT = Path(__file__).parents[2]
_WORKFLOW = read_pipeline(starter_ci() / "github.yml")
_JOBS: dict[str, Any] = _WORKFLOW["jobs"]
_ACTION = read_pipeline(_ROOT / "action.yml")
_PINNED = re.compile(r"actions/(checkout|setup-python|upload-artifact)@[0-9a-f]{40}")
_VALUES = {
    "github.token": "token-of-the-job",
    "github.repository": "o/r",
    "github.server_url": "https://forge.example",
    "github.run_id": "99",
    "github.base_ref": "main",
    "github.event.pull_request.number": "7",
}

pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="the stand-in for gh needs jq")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The protected branch, with readings that its job has kept."""
    return Checkout.made(tmp_path_factory.mktemp("original"))


class _PullRequest:
    """A clone as actions/checkout makes it, and the jobs of one pull request."""

    def __init__(self, original: Checkout, folder: Path) -> None:
        self.folder = folder
        self.forge = Forge(folder / "forge")
        self.checkout = original.copied(folder / "there")
        self._runs = 0
        self.checkout.git("clone", "--quiet", str(folder / "there"), str(folder / "clone"))
        self.clone = Checkout(CommandLine(folder / "clone"))
        self.readings = folder / "there" / "readings.jsonl"

    def runner(self) -> Runner:
        """Return a new machine."""
        self._runs += 1
        return Runner(self.folder / f"machine-{self._runs}", self.clone.root, self.forge)

    def dry_run(self) -> Ran:
        """Run the job dry-run."""
        self.judging = self.runner()
        return self.judging.run(_JOBS["dry-run"]["steps"], _VALUES, **_WORKFLOW["env"])

    def comment(self, ran: Ran) -> Ran:
        """Run the job comment, which has nothing but the outputs of the other."""
        given = {f"needs.dry-run.outputs.{name}": "" for name in _JOBS["dry-run"]["outputs"]}
        given |= {f"needs.dry-run.outputs.{name}": said for name, said in ran.outputs.get("judge", {}).items()}
        return self.runner().run(_JOBS["comment"]["steps"], {**_VALUES, **given})

    def both(self) -> Ran:
        """Run both jobs; return what the second came to."""
        return self.comment(self.dry_run())


@pytest.fixture
def pull(original: Checkout, tmp_path: Path) -> _PullRequest:
    """A pull request that has changed nothing yet; the protected branch has kept readings."""
    (tmp_path / "there").mkdir()
    made = _PullRequest(original, tmp_path)
    made.forge.keep("remedy-readings", made.readings)
    return made


def test_comment_says_what_the_branch_would_do_and_replaces_itself(pull: _PullRequest) -> None:
    """The first run posts one comment; the next, with another branch, puts the new text into it."""
    pull.clone.append("rules/high/fix.sh")
    first = pull.both()
    before = pull.forge.comments
    pull.clone.append("rules/other/fix.sh")
    second = pull.both()

    assert (first.code, second.code) == (0, 0), first.said + second.said
    assert len(before) == len(pull.forge.comments) == 1
    assert before[0].startswith("<!-- remedy: dry run -->\n### remedy: 1 fix on 1 host would be started\n")
    assert "1 rule changed since" in before[0]
    assert "2 rules changed since" in pull.forge.comments[0]


def test_nothing_to_say_posts_nothing(pull: _PullRequest) -> None:
    """A pull request that changes no rule gets no comment."""
    pull.clone.append(".gitignore", "x\n")

    ran = pull.both()

    assert ran.code == 0
    assert pull.forge.comments == []


@pytest.mark.slow
def test_nothing_any_more_is_said_where_something_was_said(pull: _PullRequest) -> None:
    """When the branch would change nothing any more the old comment does not stay as if it did."""
    pull.clone.append("rules/high/fix.sh")
    pull.both()
    pull.clone.git("checkout", "--quiet", "--", ".", folder=pull.clone.root)
    pull.both()

    (comment,) = pull.forge.comments
    assert comment.startswith("<!-- remedy: dry run -->")
    assert "any more" in comment
    assert "would be started\n" not in comment


def test_comment_of_somebody_else_is_left_alone(pull: _PullRequest) -> None:
    """A comment with the marker that another account wrote is not written over."""
    pull.forge.comment("<!-- remedy: dry run -->\nmine", login="somebody")
    pull.clone.append("rules/high/fix.sh")

    pull.both()

    assert len(pull.forge.comments) == 2
    assert pull.forge.comments[0] == "<!-- remedy: dry run -->\nmine"


def test_where_the_token_may_not_comment_the_summary_has_it(pull: _PullRequest) -> None:
    """For a fork, whose token may only read, the run is green and the dry run stands in its summary."""
    pull.forge.forbid()
    pull.clone.append("rules/high/fix.sh")

    ran = pull.both()

    assert ran.code == 0
    assert "::notice" in ran.said
    assert pull.forge.comments == []
    assert "1 fix on 1 host would be started" in pull.judging.summary.read_text()


def test_signal_that_changed_is_not_judged_in_the_comment(pull: _PullRequest) -> None:
    """A collector that the branch changes is not run anywhere: the comment says that there are no readings of it."""
    pull.clone.write("rules/signals/flag/linux.sh", f"#!/bin/sh\ntouch {pull.folder}/ran\nemit part a level 1\n")

    ran = pull.both()

    assert ran.code == 0
    assert "#### Not judged" in pull.forge.comments[0]
    assert "no readings: signal" in pull.forge.comments[0]
    assert not (pull.folder / "ran").exists()


@pytest.mark.parametrize("only", ["none", "of a fork", "of another branch"])
def test_without_readings_the_comment_says_not_judged(original: Checkout, tmp_path: Path, only: str) -> None:
    """Without readings of the protected branch, or with a fork's of the same name, the comment says: not judged."""
    (tmp_path / "there").mkdir()
    pull = _PullRequest(original, tmp_path)
    if only != "none":
        fork = only == "of a fork"
        pull.forge.keep("remedy-readings", pull.readings, fork=fork, branch="main" if fork else "mine")
    pull.clone.append("rules/high/fix.sh")

    ran = pull.both()

    assert ran.code == 0
    assert "not judged: no readings" in pull.forge.comments[0]
    assert not [call for call in pull.forge.state["calls"] if call[:2] == ["run", "download"]]


def test_newest_readings_are_taken(pull: _PullRequest) -> None:
    """Of several runs the newest one's readings count."""
    newer = pull.folder / "newer.jsonl"
    newer.write_text(pull.readings.read_text().replace('"level": 9', '"level": 1'))
    pull.forge.keep("remedy-readings", newer)
    pull.clone.append("rules/high/fix.sh")

    pull.both()

    assert pull.forge.comments == []


@pytest.mark.slow
def test_rules_that_cannot_be_loaded_fail_the_job_and_the_old_comment_says_so(pull: _PullRequest) -> None:
    """A branch that does not load is red, and what stood in the comment before does not stay."""
    pull.clone.append("rules/high/fix.sh")
    pull.both()
    pull.clone.append("rules/high/rule.yaml", "nonsense: true\n")
    judged = pull.dry_run()
    pull.comment(judged)

    assert judged.code == 1
    assert judged.outputs["judge"]["state"] == "failed"
    (comment,) = pull.forge.comments
    assert "The dry run failed; see [the run](https://forge.example/o/r/actions/runs/99)" in comment


@pytest.mark.slow
def test_comment_that_could_not_be_handed_on_is_not_taken_for_nothing(pull: _PullRequest) -> None:
    """GitHub drops an output that may hold a secret: the comment then leads to the summary."""
    pull.clone.append("rules/high/fix.sh")
    judged = pull.dry_run()
    judged.outputs["judge"]["comment"] = ""
    pull.comment(judged)

    (comment,) = pull.forge.comments
    assert "The dry run is in the summary of [the run]" in comment


def test_host_text_cannot_end_the_output(pull: _PullRequest) -> None:
    """What a host says cannot add an output or a line of its own, whatever it guesses the end mark to be."""
    text = pull.readings.read_text().replace(
        '"part": "a"', '"part": "a end-00 state=nothing @octocat ``` | </details>"'
    )
    evil = pull.folder / "evil.jsonl"
    evil.write_text(text)
    pull.forge.keep("remedy-readings", evil)
    pull.clone.append("rules/high/fix.sh")

    judged = pull.dry_run()

    assert set(judged.outputs["judge"]) == {"state", "exit-code", "comment"}
    assert judged.outputs["judge"]["state"] == "told"
    assert (
        "`part=a end-00 state=nothing @octocat \\x60\\x60\\x60 \\x7c </details>" in judged.outputs["judge"]["comment"]
    )


@pytest.mark.slow
def test_live_job_keeps_readings_and_shows_the_live_plan(original: Checkout, tmp_path: Path) -> None:
    """On the protected branch the hosts are read, the readings kept for the next pull request, the plan shown."""
    (tmp_path / "clone").mkdir()
    clone = original.copied(tmp_path / "clone")
    runner = Runner(tmp_path / "machine", clone.root, Forge(tmp_path / "forge"))

    ran = runner.run(_JOBS["live-dry-run"]["steps"], _VALUES, **_WORKFLOW["env"])

    assert ran.code == 0, ran.said
    assert (runner.temp / "readings.jsonl").read_text().startswith('{"readings": 1')
    assert "1 fix on 1 host would be started" in runner.summary.read_text()
    assert "remedy-engine[lint]==" in runner.installed.read_text()
    assert (runner.temp / "path").read_text() == f"{runner.temp}/remedy/bin\n"
    upload = next(step for step in _JOBS["live-dry-run"]["steps"] if "upload-artifact" in step.get("uses", ""))
    assert EXPRESSION.sub(str(runner.temp), upload["with"]["path"]) == str(runner.temp / "readings.jsonl")
    assert upload["with"]["name"] == "remedy-readings"


def test_repository_of_init_passes_its_own_workflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A repository as `remedy init` makes it passes validate, lint and test by the commands of its own workflow."""
    run_init(str(tmp_path / "rules-repo"))
    capsys.readouterr()
    written = read_pipeline(tmp_path / "rules-repo" / ".github" / "workflows" / "remedy.yml")
    runner = Runner(tmp_path / "machine", tmp_path / "rules-repo", Forge(tmp_path / "forge"))

    ran = runner.run(written["jobs"]["check"]["steps"], _VALUES, **written["env"])

    commands = [step["run"].split()[:2] for step in written["jobs"]["check"]["steps"] if "run" in step]
    assert ran.code == 0, ran.said
    assert [each for each in commands if each[0] == "remedy"] == [
        ["remedy", word] for word in ("validate", "lint", "test")
    ]


def test_action_judges_and_comments(pull: _PullRequest) -> None:
    """The composite action does the same in one job, with what it is given as inputs."""
    pull.clone.append("rules/high/fix.sh")
    runner = pull.runner()
    inputs = {f"inputs.{name}": str(given["default"]) for name, given in _ACTION["inputs"].items()}
    inputs |= {"inputs.readings": str(pull.readings), "inputs.since": "origin/main", "inputs.token": "token-of-the-job"}

    ran = runner.run(_ACTION["runs"]["steps"], {**_VALUES, **inputs}, GITHUB_ACTION_PATH=str(_ROOT))

    assert ran.code == 0, ran.said
    assert ran.outputs["judge"]["state"] == "told"
    assert "1 fix on 1 host would be started" in pull.forge.comments[0]
    assert runner.installed.read_text().split()[-1] == str(_ROOT)
    outputs = {EXPRESSION.fullmatch(each["value"])[1] for each in _ACTION["outputs"].values()}  # type: ignore[index]
    assert outputs == {f"steps.judge.outputs.{name}" for name in ran.outputs["judge"]}


_ALL_STEPS = [(name, step) for name, job in _JOBS.items() for step in job["steps"]]
_ALL_STEPS += [("action", step) for step in _ACTION["runs"]["steps"]]


def test_no_value_is_put_into_a_script() -> None:
    """No `run` has an expression in it: what a pull request says comes only through the environment."""
    assert not [step["run"] for _, step in _ALL_STEPS if EXPRESSION.search(step.get("run", ""))]


def test_actions_are_few_and_pinned() -> None:
    """Only GitHub's own actions are used, each by a full commit, and no checkout leaves its token behind."""
    used = [step for _, step in _ALL_STEPS if "uses" in step]

    assert used
    assert all(_PINNED.fullmatch(step["uses"]) for step in used)
    assert all(step["with"]["persist-credentials"] is False for step in used if "checkout@" in step["uses"])


def test_permissions_are_least() -> None:
    """No job has a permission that it does not need, and the one that may write checks nothing out."""
    wanted = {
        "check": {"contents": "read"},
        "dry-run": {"contents": "read", "actions": "read"},
        "comment": {"pull-requests": "write"},
        "live-dry-run": {"contents": "read"},
    }

    assert _WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in _JOBS.items()} == wanted
    assert not [step for step in _JOBS["comment"]["steps"] if "uses" in step]


def test_pull_request_reaches_no_host() -> None:
    """Nothing runs for pull_request_target; of a pull request no job is on a runner of one's own or reads hosts."""
    assert "pull_request_target" not in _WORKFLOW["on"]
    live = _JOBS["live-dry-run"]
    assert "github.event_name != 'pull_request'" in live["if"]
    assert "github.ref == 'refs/heads/main'" in live["if"]
    for name, job in _JOBS.items():
        if name == "live-dry-run":
            continue
        assert job["runs-on"] == "ubuntu-24.04"
        assert "environment" not in job
        for step in job["steps"]:
            assert "remedy scan" not in step.get("run", "")
            for line in step.get("run", "").splitlines():
                assert "remedy apply" not in line or "--offline --readings" in line


@pytest.mark.parametrize("script", ["readings-github.sh", "judge-github.sh", "comment-github.sh"])
def test_workflow_has_the_scripts_of_the_action(script: str) -> None:
    """The workflow and the action run the same text."""
    text = (starter_ci() / script).read_text()

    assert text in [step.get("run") for _, step in _ALL_STEPS]
