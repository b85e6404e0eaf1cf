"""Parameters that are secrets: references from the file to the plan, and never a value, nor a literal, in a message."""

import json
from pathlib import Path

import pytest

from remedy.canonical import canonical_json, plain
from remedy.errors import FilesError
from remedy.load import load_cases, load_inventory
from remedy.load.repository import Repository, load_repository
from remedy.load.typed import case_param, typed_param
from remedy.model import script_value, value_text
from remedy.secrets import SecretReference, reference_of

LITERAL = "hunter2-literal"
_RULE = """\
rule: renew
title: A licence is running out
why: So that something can be mended.
owner: tests@example.org
mode: fix
hosts: all
signal: licence
params: {params}
when: {when}
fix:
  linux: {{script: renew.sh}}
risk: safe
verify: {verify}
"""
_SIGNAL = """\
signal: licence
title: A licence
columns: {{days: number, note: text}}
params: {params}
collect:
  linux: {{script: linux.sh}}
"""
_SECRET = "{days: 9, token: {secret: env:API_TOKEN}}"


def _repository(
    folder: Path,
    *,
    params: str = _SECRET,
    when: str = "days < params.days",
    verify: str = "later",
    signal: str = "{password: {secret: file:~/pw}}",
) -> Repository:
    for path in (folder / "renew", folder / "signals" / "licence"):
        path.mkdir(parents=True, exist_ok=True)
    (folder / "renew" / "rule.yaml").write_text(_RULE.format(params=params, when=when, verify=verify))
    (folder / "renew" / "renew.sh").write_text("#!/bin/sh\n:\n")
    (folder / "signals" / "licence" / "signal.yaml").write_text(_SIGNAL.format(params=signal))
    (folder / "signals" / "licence" / "linux.sh").write_text("#!/bin/sh\nemit days 1\n")
    return load_repository(folder)


def _problem(folder: Path, **parts: str) -> str:
    with pytest.raises(FilesError) as caught:
        _repository(folder, **parts)
    return str(caught.value)


def test_params_may_be_references_to_secrets(tmp_path: Path) -> None:
    """A rule's and a signal's parameter become references, which is what people and digests see of them."""
    repository = _repository(tmp_path)

    token = repository.rules["renew"].params["token"]
    assert token == SecretReference("env:API_TOKEN")
    assert repository.signals["licence"].params == {"password": SecretReference("file:~/pw")}
    assert value_text(token) == str(token) == "secret env:API_TOKEN"
    assert plain(token) == {"secret": "env:API_TOKEN"}
    assert json.loads(canonical_json({"token": token})) == {"token": {"secret": "env:API_TOKEN"}}
    assert script_value(token) is token
    assert '"token":{"secret":"env:API_TOKEN"}' in repository.rules["renew"].resolved


def test_digest_is_of_the_reference(tmp_path: Path) -> None:
    """Another reference is another rule; what it leads to is nobody's business, whatever the environment holds."""
    one, same, other = (
        _repository(tmp_path, params=f"{{days: 9, token: {{secret: {where}}}}}").rules["renew"].digest
        for where in ("env:A_TOKEN", "env:A_TOKEN", "env:B_TOKEN")
    )

    assert one == same != other


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (f"{{token: {{secret: {LITERAL}}}}}", "params.token.secret: must be env:NAME or file:/PATH, never the secret"),
        ("{token: {secret: 755375537}}", "params.token.secret: must be env:NAME or file:/PATH, never the secret"),
        ("{token: {secret: [env:A]}}", "params.token.secret: must be env:NAME or file:/PATH, never the secret"),
        ("{token: {secret: file:relative/path}}", "params.token.secret: must be env:NAME or file:/PATH"),
        ("{token: {secret: env:A, text: b}}", "unknown key `text` in params.token"),
        ("{token: {sekret: env:A}}", "unknown key `sekret` in params.token; did you mean `secret`?"),
        ("{token: {}}", "params.token"),
    ],
)
def test_what_is_no_reference_is_refused_and_not_repeated(tmp_path: Path, params: str, said: str) -> None:
    """A literal, a number and a relative path are errors at their place; a message never has what may be the secret."""
    message = _problem(tmp_path, params=params, when="days < 9")

    assert said in message
    assert "renew/rule.yaml:8:" in message
    assert LITERAL not in message
    assert "755375537" not in message


@pytest.mark.parametrize(
    ("part", "text", "place"),
    [
        ("when", "days < params.days and note = params.token", "rule.yaml:9:"),
        ("verify", "{until: note <> params.token, settle: 1s, within: 2s}", "rule.yaml:13:"),
        ("when", "length(params.token) > 3 and days < 9", "rule.yaml:9:"),
    ],
)
def test_no_condition_may_read_a_secret(tmp_path: Path, part: str, text: str, place: str) -> None:
    """What a condition reads, `why` shows; so it is an error where it stands."""
    message = _problem(tmp_path, **{part: text})

    assert "params.token is a secret, which no condition may read; what a condition reads is shown to people" in message
    assert place in message


def _inventory(folder: Path, params: str, *, name: str = "inventory.yaml") -> dict[str, object]:
    repository = _repository(folder / "rules")
    types = {"renew": repository.rules["renew"].params, "licence": repository.signals["licence"].params}
    (folder / name).write_text(params)
    return dict(load_inventory(str(folder / name), types=types).hosts["web-1"].params)


def test_override_of_a_secret_is_another_reference(tmp_path: Path) -> None:
    """Also in INI, where mappings are written as in Python."""
    ini = "web-1 remedy_params=\"{'renew': {'token': {'secret': 'env:OTHER'}}}\"\n"

    found = [
        _inventory(tmp_path, "all: {hosts: {web-1: {remedy_params: {renew: {token: {secret: env:OTHER}}}}}}\n"),
        _inventory(tmp_path, ini, name="inventory.ini"),
    ]

    assert found == [{"renew": {"token": SecretReference("env:OTHER")}}] * 2


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (LITERAL, "renew.token: must be a reference to a secret, not text: {secret: env:NAME} or {secret: file:/PATH}"),
        ("7", "renew.token: must be a reference to a secret, not a number"),
        (f"{{secret: {LITERAL}}}", "renew.token: must be a reference to a secret, never the secret itself"),
        ("{secret: '{{ vault_token }}'}", "renew.token: a template is not supported here"),
        ("{secret: env:A, more: 1}", "renew.token: must not be a mapping, unless it is {secret: env:NAME}"),
    ],
)
def test_override_that_is_no_reference_is_refused_and_not_repeated(tmp_path: Path, token: str, said: str) -> None:
    """A secret stays one in an inventory: nobody may put it there as it is."""
    with pytest.raises(FilesError) as caught:
        _inventory(tmp_path, f"all:\n  hosts:\n    web-1:\n      remedy_params: {{renew: {{token: {token}}}}}\n")

    assert said in str(caught.value)
    assert LITERAL not in str(caught.value)
    assert "inventory.yaml:4:" in str(caught.value)


def test_plain_parameter_takes_no_secret(tmp_path: Path) -> None:
    """What a rule declares as a number or text, conditions may read; so no inventory makes a secret of it."""
    with pytest.raises(FilesError, match=r"renew\.days: must be a number, not a reference to a secret"):
        _inventory(tmp_path, "all: {hosts: {web-1: {remedy_params: {renew: {days: {secret: env:A}}}}}}\n")


def test_case_may_have_a_text_in_place_of_a_secret(tmp_path: Path) -> None:
    """Cases need no secret: a text stands for it there, and nowhere else."""
    params = {"token": SecretReference("env:API_TOKEN")}

    assert case_param(params, "token", "made-up") == "made-up"
    assert case_param(params, "token", {"secret": "env:X"}) == SecretReference("env:X")
    with pytest.raises(ValueError, match="must be a reference to a secret, not text"):
        typed_param(params, "token", "made-up")
    repository = _repository(tmp_path)
    (tmp_path / "renew" / "tests.yaml").write_text(
        "- case: with a made-up token\n"
        "  now: 2026-11-22T03:00:00Z\n"
        "  hosts:\n"
        "    web-1: {params: {renew: {token: made-up}}, readings: {licence: [{days: 1, note: x}]}}\n"
        "  expect: {web-1: match}\n"
    )
    (case,) = load_cases(tmp_path / "renew" / "tests.yaml", repository, repository.rules["renew"])
    assert case.hosts[0].params == {"renew": {"token": "made-up"}}


@pytest.mark.parametrize("where", ["", LITERAL, "env:", "env:1A", "env:A B", "file:", "file:x", "file:/a\nb", "ENV:A"])
def test_reference_has_one_form(where: str) -> None:
    """env:NAME, file:/PATH and file:~/PATH, and nothing that looks like them."""
    with pytest.raises(ValueError, match="must be a reference to a secret") as caught:
        reference_of({"secret": where})

    assert not where or where not in str(caught.value).replace("env:NAME", "").replace("file:/PATH", "")
