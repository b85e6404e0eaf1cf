"""The comment on a pull request: text of hosts is only text, nothing is empty, and what does not fit is counted."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options as MarkdownOptions
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from remedy.limits import Limit
from remedy.model import Mode, ReadingStatus
from remedy.plan import Unseen
from remedy.render.dry_run import DryRun
from remedy.render.markdown import COMMENT_BYTES_MAX, comment
from remedy.render.markdown_text import MARKER, code, prose
from remedy.summary import HostEnd, HostEnding, Summary, coverage, pending_executions
from tests.core.builders import DISK, NOW, full, hosts, judged, planned, reading, rule, scope, unseen

NASTY = (
    "@octocat",
    "@org/team and <@U123>",
    "#1 GH-1 org/repo#1 !2 $3 %4 ~label &5 ^alert#6",
    "a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6a7b8c9d0",
    "[x](https://example.org) ![x](https://example.org/x.png)",
    "https://example.org www.example.org a@example.org mailto:a@example.org ftp://x.example",
    "<img src=x onerror=alert(1)> <script>alert(1)</script> <details open> </details>",
    "<!-- --> --> <![CDATA[ ?> &lt;b&gt; &#64;octocat &amp;",
    "a | b || \\| \\\\| c",
    "` `` ``` ~~~ \\` `a` `` b ``",
    "*a* **b** _c_ __d__ ~~e~~ ==f==",
    "# h\n\n- list\n1. one\n> quote\n---\n===\n\n    code\n\n/close\n/merge",
    "| a | b |\n| --- | --- |\n| c | d |",
    ":smile: :+1:",
    "[x]: https://example.org",
    "[^1]\n\n[^1]: note",
    "$$x$$ $`x`$ \\(x\\) ```math",
    "\u202eevil \u200b@\u200boctocat \x00\x1b[31m",
    " ",
    "",
    "\\",
    "trailing\\",
    "{{ github.token }} ${{ secrets.X }}",
)
HOSTILE = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=40),
    st.text(alphabet="`|\\<>@#[]()!*_~:/.&;-$%^{}'\" \nwhtpsx1a", max_size=60),
    st.lists(st.sampled_from(NASTY), min_size=2, max_size=3).map("".join),
)
GITHUB = MarkdownOptions.CMARK_OPT_UNSAFE | MarkdownOptions.CMARK_OPT_FOOTNOTES
OTHER = MarkdownIt("gfm-like", {"html": True, "linkify": True})


class _Read(HTMLParser):
    """The tags of rendered Markdown, and its text outside of code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside = ""
        self._code = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(f"{tag} {sorted(name for name, _ in attrs)}")
        self._code += tag in ("code", "pre")

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")
        self._code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.outside += data

    def handle_comment(self, data: str) -> None:
        self.tags.append(f"!{data}")


def _rendered(text: str) -> tuple[_Read, _Read]:
    """Return Markdown as GitHub's own renderer reads it, and as another does."""
    return _Read(cmarkgfm.github_flavored_markdown_to_html(text, GITHUB)), _Read(OTHER.render(text))


@settings(max_examples=3000, deadline=None)
@given(text=HOSTILE)
def test_host_text_as_code_is_one_code_span(text: str) -> None:
    """Whatever a host says is one code span in one cell: no link, mention, image, HTML, cell, fence or line."""
    said = code(text)

    table = f"| a | b |\n| --- | --- |\n| {said} | x |\n"
    assert "\n" not in said
    for read in _rendered(f"- before {said} after\n"):
        assert read.tags == ["ul []", "li []", "code []", "/code", "/li", "/ul"]
        assert read.outside.split() == ["before", "after"]
    for read in _rendered(table):
        assert read.tags.count("td []") + read.tags.count("td ['style']") == 2
        assert read.tags.count("code []") == 1
        assert read.outside.split() == ["a", "b", "x"]


@settings(max_examples=3000, deadline=None)
@given(text=HOSTILE)
def test_host_text_as_prose_is_words_and_code(text: str) -> None:
    """In a sentence only words and small numbers stand outside of code: nothing of which a forge makes something."""
    said = prose(text)

    assert "\n" not in said
    for read in _rendered(f"why: {said} end\n"):
        assert set(read.tags) <= {"p []", "/p", "code []", "/code"}
        assert read.tags.count("p []") == 1
        assert re.fullmatch(r"[A-Za-z0-9 ,;:.%()'\n-]*", read.outside)
        assert not re.search(r"://|www\.\w|\w@|@\w|#\d|\b[0-9a-f]{7,}\b", read.outside)


def test_prose_leaves_a_sentence_readable() -> None:
    """A hold's reason stays a sentence; what is a name, a time or a command is code."""
    said = prose("full by design; until 2027-03-31; lifted by: `mode: fix` in rules/low-disk/rule.yaml")

    assert said == "full by design; until `2027-03-31;` lifted by: mode: fix in `rules/low-disk/rule.yaml`"


def _dry(
    mounts: Mapping[str, Sequence[str]], *, held: bool = False, gone: Mapping[str, str] | None = None, title: str = "t"
) -> DryRun:
    """Return a dry run of hosts with these full volumes, and of hosts that were not reached."""
    gone = gone or {}
    every = hosts(*mounts, *gone)
    readings = [each for name, some in mounts.items() for each in (full(name, mounts=some) if some else [_well(name)])]
    readings += [unseen(DISK, name, ReadingStatus.UNREACHABLE, reason=why) for name, why in gone.items()]
    watched = rule(mode=Mode.OBSERVE if held else Mode.FIX, matched=Limit(count=1_000_000))
    scopes = [scope(watched, every)]
    ends = tuple(
        HostEnd(
            host=each.name,
            ending=HostEnding.UNREACHABLE if each.name in gone else HostEnding.COLLECTED,
            reason=gone.get(each.name, ""),
        )
        for each in every
    )
    judgements = judged(scopes, readings)
    seen = coverage(ends, judgements)
    plan = planned(scopes, readings, unseen=Unseen(unreachable=seen.unreachable))
    summary = Summary(coverage=seen, host_ends=ends, held=plan.held, pending=pending_executions(plan))
    return DryRun(plan=plan, summary=summary, exit_code=0, judgements=judgements, as_of=NOW, since=title)


def _well(name: str) -> object:
    return reading(DISK, name, {"mount": "/", "free_percent": 90})


@settings(max_examples=30, deadline=None)
@given(
    mount=HOSTILE.filter(lambda text: text.isprintable()),
    why=HOSTILE,
    since=HOSTILE.filter(bool),
    held=st.booleans(),
)
def test_comment_has_the_same_structure_whatever_hosts_say(mount: str, why: str, since: str, held: bool) -> None:
    """Rendered, the comment has the tags that it has with harmless text; only words in it differ."""
    harmless = comment(_dry({"web-1": ["/", "/x"]}, held=held, gone={"web-2": "gone"}, title="x"))
    text = comment(_dry({"web-1": ["/", f"/x{mount}"]}, held=held, gone={"web-2": why}, title=since))

    for plain, hostile in zip(_rendered(harmless), _rendered(text), strict=True):
        without = [tag for tag in hostile.tags if tag not in ("code []", "/code")]
        assert without == [tag for tag in plain.tags if tag not in ("code []", "/code")]
        assert "@" not in hostile.outside
        assert "://" not in hostile.outside
    assert not [line for line in text.splitlines() if line.startswith("/")]


def test_comment_says_rule_wave_host_holds_and_what_was_not_judged() -> None:
    """The comment has the marker, what would run by rule and wave with hosts folded, and what was not judged."""
    text = comment(_dry({"web-1": ["/"], "web-2": ["/", "/var"]}, gone={"db-1": "timed out"}))

    assert text.startswith(f"{MARKER}\n### remedy: 3 fixes on 2 hosts would be started\n")
    assert "**`low-disk`**" in text
    assert "<details><summary>wave 1: 1 host</summary>" in text
    assert "mount=/var" in text
    assert "#### Not judged" in text
    assert "- `db-1`" in text
    assert text.endswith("judged 2 of 3 hosts; 1 unreachable\n")


def test_comment_is_empty_when_there_is_nothing_to_tell() -> None:
    """Everything judged and nothing matching is an empty comment, which nobody posts."""
    assert comment(_dry({"web-1": [], "web-2": []})) == ""


@pytest.mark.parametrize(
    "dry",
    [
        _dry({"web-1": ["/"]}),
        _dry({"web-1": ["/"]}, held=True),
        _dry({"web-1": []}, gone={"web-2": "timed out"}),
    ],
    ids=["a fix", "a hold", "a host that was not seen"],
)
def test_comment_is_never_empty_when_something_is_to_be_told(dry: DryRun) -> None:
    """A pending fix, a hold and a host that was not judged are each said: not judged is no 'no change'."""
    assert comment(dry)


@pytest.mark.parametrize("count", [3, 400, 5_000])
def test_comment_fits_and_counts_whole_hosts(count: int) -> None:
    """However many hosts there are, the comment is at most 60,000 bytes, and hosts shown and left out add up."""
    dry = _dry({f"host-{number:05}": ["/", "/var"] for number in range(count)}, gone={"db-1": "timed out"})

    text = comment(dry)

    assert len(text.encode()) <= COMMENT_BYTES_MAX
    sections = re.split(r"<details><summary>wave \d+: (\d+) hosts?</summary>", text.partition("#### Not")[0])
    waves = list(zip(sections[1::2], sections[2::2], strict=True))
    assert sum(int(wave) for wave, _ in waves) == count
    for wave, listed in waves:
        left = re.search(r"and (\d+) more hosts?", listed)
        assert listed.count("- `host-") + (int(left[1]) if left else 0) == int(wave)
    assert text.count("<details>") == text.count("</details>")


@pytest.mark.parametrize("bytes_max", [1_500, 3_000, 10_000])
def test_comment_is_cut_to_any_sensible_size(bytes_max: int) -> None:
    """The limit is kept by cutting more, never by cutting in the middle: what remains is whole Markdown."""
    gone = {f"db-{number}": f"reason {number} {'x' * 50}" for number in range(200)}
    text = comment(_dry({f"web-{number}": ["/"] for number in range(200)}, gone=gone), bytes_max=bytes_max)

    assert len(text.encode()) <= bytes_max
    assert text.endswith("unreachable\n")
    assert re.search(r"and \d+ more reasons", text)
    for read in _rendered(text):
        depth = [1 if tag.startswith("details") else -1 if tag == "/details" else 0 for tag in read.tags]
        assert sum(depth) == 0
    assert all(before != "<details>" or after != "</details>" for before, after in pairwise(text.splitlines()))


def test_stale_marker_line_is_first() -> None:
    """The hidden marker is the very first line, where the workflow looks for it."""
    dry = _dry({"web-1": ["/"]})

    assert comment(dry).splitlines()[0] == MARKER
    assert (dry.plan.expires_at - dry.plan.created_at) > timedelta(0)
