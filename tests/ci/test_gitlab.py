"""GitLab's pipeline: what its jobs run, run here against a stand-in for GitLab's API on loopback."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from remedy.cli.commands.init import run_init, starter_ci
from tests.ci.pipelines import Forge, Runner, read_pipeline
from tests.cli.command_line import CommandLine
from tests.cli.dry_runs import Checkout

_PIPELINE: dict[str, Any] = read_pipeline(starter_ci() / "gitlab.yml")
_REFERENCE = re.compile(r"\$(\w+)")
_MARKER = "<!-- remedy: dry run -->"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the pipeline uses curl")


class _API(BaseHTTPRequestHandler):
    """Notes of merge request 7 of project 5, and one generic package."""

    notes: ClassVar[list[dict[str, Any]]] = []
    package: ClassVar[list[bytes]] = []

    def _answer(self, status: int, value: object = None, *, raw: bytes | None = None) -> None:
        body = raw if raw is not None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _may_note(self) -> bool:
        return self.headers.get("PRIVATE-TOKEN") == "token-for-notes"

    def do_GET(self) -> None:
        """Answer with the package, the token's user, or a page of notes."""
        if self.path.startswith("/api/v4/projects/5/packages/"):
            right = self.headers.get("JOB-TOKEN") == "token-of-the-job" and self.package
            self._answer(200 if right else 404, raw=self.package[-1] if right else b"{}")
        elif not self._may_note():
            self._answer(401, {})
        elif self.path == "/api/v4/user":
            self._answer(200, {"id": 1})
        else:
            found = re.fullmatch(
                r"/api/v4/projects/5/merge_requests/7/notes\?sort=desc&per_page=100&page=(\d+)", self.path
            )
            assert found is not None
            first = (int(found[1]) - 1) * 100
            self._answer(200, list(reversed(self.notes))[first : first + 100])

    def do_POST(self) -> None:
        """Add a note."""
        assert self.path == "/api/v4/projects/5/merge_requests/7/notes"
        assert self._may_note()
        self.notes.append({"id": len(self.notes), "author": {"id": 1}, "body": json.loads(self._body())["body"]})
        self._answer(201, {})

    def do_PUT(self) -> None:
        """Keep the package, or change a note."""
        if self.path.startswith("/api/v4/projects/5/packages/generic/remedy-readings/0/readings.jsonl"):
            self.package.append(self._body())
            self._answer(201, {})
            return
        assert self._may_note()
        self.notes[int(self.path.rpartition("/")[2])]["body"] = json.loads(self._body())["body"]
        self._answer(200, {})

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    """The address of the stand-in."""
    _API.notes.clear()
    _API.package.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _API)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api/v4"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The protected branch, with readings."""
    return Checkout.made(tmp_path_factory.mktemp("original"))


class _MergeRequest:
    """A clone, and the jobs of one merge request."""

    def __init__(self, original: Checkout, folder: Path, api: str) -> None:
        there = folder / "there"
        there.mkdir()
        checkout = original.copied(there)
        checkout.git("clone", "--quiet", str(there), str(folder / "clone"))
        self.clone = Checkout(CommandLine(folder / "clone"))
        self.readings = there / "readings.jsonl"
        self._runner = Runner(folder / "machine", self.clone.root, Forge(folder / "forge"))
        self._given = {
            "CI_API_V4_URL": api,
            "CI_PROJECT_ID": "5",
            "CI_JOB_TOKEN": "token-of-the-job",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "REMEDY_COMMENT_TOKEN": "token-for-notes",
        }

    def job(self, name: str, **given: str) -> subprocess.CompletedProcess[str]:
        """Run the script of a job, as GitLab's runner does: its lines in one shell, variables expanded before."""
        environment = {**self._runner.environment, **self._given, **given}
        for key, text in _PIPELINE["variables"].items():
            environment[key] = _REFERENCE.sub(lambda found: environment[found[1]], str(text))
        return self._runner.bash("\n".join(_PIPELINE[name]["script"]), self.clone.root, environment)


@pytest.fixture
def merge(original: Checkout, tmp_path: Path, api: str) -> _MergeRequest:
    """A merge request that has changed nothing yet; the protected branch has kept readings."""
    made = _MergeRequest(original, tmp_path, api)
    _API.package.append(made.readings.read_bytes())
    return made


def test_note_says_what_the_branch_would_do_and_replaces_itself(merge: _MergeRequest) -> None:
    """One note, whatever else was said since; the next run puts its text into it."""
    merge.clone.append("rules/high/fix.sh")
    first = merge.job("remedy-dry-run")
    said = _API.notes[0]["body"]
    _API.notes.extend({"id": number, "author": {"id": 2}, "body": _MARKER} for number in range(1, 130))
    merge.clone.git("checkout", "--quiet", "--", ".", folder=merge.clone.root)
    second = merge.job("remedy-dry-run")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert said.startswith(f"{_MARKER}\n### remedy: 1 fix on 1 host would be started\n")
    assert len(_API.notes) == 130
    assert "any more" in _API.notes[0]["body"]
    assert {note["body"] for note in _API.notes[1:]} == {_MARKER}


def test_nothing_to_say_posts_nothing(merge: _MergeRequest) -> None:
    """A merge request that changes no rule gets no note, and an empty artifact."""
    done = merge.job("remedy-dry-run")

    assert done.returncode == 0, done.stderr
    assert _API.notes == []
    assert (merge.clone.root / "comment.md").read_text() == ""


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_a_token_the_artifact_has_it(merge: _MergeRequest, token: str) -> None:
    """Without a token that may comment the job is green and says where the dry run is: in its artifact."""
    merge.clone.append("rules/high/fix.sh")

    done = merge.job("remedy-dry-run", REMEDY_COMMENT_TOKEN=token)

    assert done.returncode == 0
    assert "not commented" in done.stdout
    assert "1 fix on 1 host" in (merge.clone.root / "comment.md").read_text()
    assert _PIPELINE["remedy-dry-run"]["artifacts"]["expose_as"]


def test_without_readings_the_note_says_not_judged(merge: _MergeRequest) -> None:
    """Before the protected branch has kept readings, and in a fork, which sees none, the note says: not judged."""
    _API.package.clear()
    merge.clone.append("rules/high/fix.sh")

    done = merge.job("remedy-dry-run")

    assert done.returncode == 0, done.stderr
    assert "not judged: no readings" in _API.notes[0]["body"]


@pytest.mark.slow
def test_live_job_keeps_readings_for_the_next_merge_request(merge: _MergeRequest) -> None:
    """On the protected branch the hosts are read, the readings kept, and the live plan is the artifact."""
    _API.package.clear()

    done = merge.job("remedy-live-dry-run")

    assert done.returncode == 0, done.stderr
    assert _API.package[0].startswith(b'{"readings": 1')
    assert "1 fix on 1 host" in (merge.clone.root / "comment.md").read_text()


def test_merge_request_reaches_no_host() -> None:
    """Only the job of the protected branch is on a runner of one's own and reads hosts."""
    live = _PIPELINE["remedy-live-dry-run"]
    (rule,) = live["rules"]
    for said in ("$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", '$CI_COMMIT_REF_PROTECTED == "true"', "$REMEDY_RUNNER_TAG"):
        assert said in rule["if"]
    for name in ("remedy-check", "remedy-dry-run"):
        text = "\n".join(_PIPELINE[name]["script"])
        assert "tags" not in _PIPELINE[name]
        assert "remedy scan" not in text
        assert all("--offline --readings" in line for line in text.splitlines() if "remedy apply" in line)


def test_init_writes_it_for_a_clone_from_gitlab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a clone whose remote is a GitLab the pipeline is GitLab's; --ci says otherwise, and none writes none."""
    made = {}
    for name, remote, ci in (
        ("a", "git@gitlab.example:g/r.git", None),
        ("b", "git@gitlab.example:g/r.git", "none"),
        ("c", "", None),
    ):
        folder = tmp_path / name
        subprocess.run(["git", "init", "--quiet", "--initial-branch", "trunk", str(folder)], check=True)
        if remote:
            subprocess.run(["git", "-C", str(folder), "remote", "add", "origin", remote], check=True)
        run_init(str(folder), ci=ci)
        files = (".gitlab-ci.yml", ".github/workflows/remedy.yml", ".pre-commit-config.yaml")
        made[name] = [each for each in files if (folder / each).exists()]
    said = capsys.readouterr().out

    assert made == {
        "a": [".gitlab-ci.yml", ".pre-commit-config.yaml"],
        "b": [".pre-commit-config.yaml"],
        "c": [".github/workflows/remedy.yml", ".pre-commit-config.yaml"],
    }
    assert ".gitlab-ci.yml" in said
    workflow = (tmp_path / "c" / ".github/workflows/remedy.yml").read_text()
    assert 'branches: ["trunk"]' in workflow
    assert 'BRANCH: "trunk"' in workflow
    assert "'refs/heads/trunk'" in workflow
    assert "main" not in re.sub(r"#.*", "", workflow)


def test_hostile_branch_name_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A branch whose name could mean something in YAML or in an expression is not put into the workflow."""
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "a'||true", str(tmp_path / "r")], check=True)

    run_init(str(tmp_path / "r"))

    assert "||true" not in (tmp_path / "r" / ".github/workflows/remedy.yml").read_text()
    assert "made " in capsys.readouterr().out
