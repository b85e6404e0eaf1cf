"""docs/ci.md shows what really comes out."""

import re
from pathlib import Path

from remedy.cli.commands.schema import OUTPUT_KINDS
from tests.cli.dry_runs import Checkout

_PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
_TIME = re.compile(r"`[0-9-]+T[0-9:]+Z`")


def test_comment_of_the_page_is_what_is_printed(tmp_path: Path) -> None:
    """The commands of the page make the comment that stands there, but for its time."""
    checkout = Checkout.made(tmp_path)
    shown = re.search(r"```markdown\n(.*?)```", _PAGE, re.DOTALL)
    first, second = re.findall(r"^\$ remedy (.*)$", _PAGE, re.MULTILINE)
    saved = checkout.line.remedy(*first.split())
    checkout.append("rules/high/fix.sh")
    checkout.append("rules/signals/mark/linux.sh")

    done = checkout.line.remedy(*second.replace("origin/main", "HEAD").split())

    assert saved.code == 0
    assert shown is not None
    assert _TIME.sub("", done.out) == _TIME.sub("", shown[1])


def test_page_names_every_schema_of_output() -> None:
    """The page says by which names the schemas of what is printed are shown."""
    assert all(f"`remedy schema {kind}`" in _PAGE for kind in OUTPUT_KINDS)
