"""INI inventories: what they hold, the place of everything, what is warned about, and limits."""

import shlex
import time
from ast import literal_eval
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remedy.errors import FilesError, Place
from remedy.load import Inventory, load_inventory
from remedy.load.inventory.graph import Graph
from remedy.load.inventory.ini import read_ini
from remedy.load.inventory.literals import literal_node
from remedy.load.inventory.precedence import resolve
from remedy.load.inventory.ranges import RANGE_HOSTS_MAX, host_term
from remedy.load.inventory.source import read_graph
from remedy.load.inventory.words import split_words
from remedy.load.nodes import ListNode, MappingNode, OpaqueNode, ScalarNode, plain
from remedy.model import Connection, Transport
from remedy.port import WinRMAuth
from tests.load.tables import DATA, TYPES

SECRET = "hunter2-0755"


def _load(folder: Path, text: str, *, name: str = "hosts") -> Inventory:
    (folder / name).write_text(text, encoding="utf-8")
    return load_inventory(str(folder / name), types=TYPES)


def _places(text: str) -> Mapping[str, Place]:
    """Return where the value of each variable of host `h` stands."""
    graph = Graph()
    read_ini(graph, text, file="hosts")
    assert not graph.problems
    [host] = [each for each in resolve(graph)[0] if each.name == "h"]
    return {name: variable.place for name, variable in host.variables.items()}


def test_sections_ranges_ports_and_variables_are_read() -> None:
    """Hosts above all sections are ungrouped; ranges, ports, quotes, comments and types mean what Ansible says."""
    inventory = load_inventory(str(DATA / "inventory/valid-ini.ini"), types=TYPES)
    web = tuple(sorted(("2001:db8::7", *(f"web-0{number}.example.org" for number in (1, 2, 3)))))

    assert dict(inventory.groups) == {
        "all": tuple(sorted((*web, "lone"))),
        "late": (),
        "site": web,
        "ungrouped": ("lone",),
        "web": web,
    }
    assert inventory.hosts["web-02.example.org"].connection == Connection(port=2222, user="remedy")
    assert inventory.hosts["2001:db8::7"].connection == Connection(port=22, user="env user")
    assert inventory.hosts["web-01.example.org"].params == {"low-disk": {"below_percent": 5.0}}
    assert inventory.warnings == ()


def test_ranges_and_ports_stand_in_yaml_and_json_too() -> None:
    """Every host of a range has the variables below it."""
    in_yaml = load_inventory(str(DATA / "inventory/valid-range.yaml"), types=TYPES)
    in_json = load_inventory(str(DATA / "inventory/valid-groups.json"), types=TYPES)

    assert {name: host.connection.port for name, host in in_yaml.hosts.items()} == {
        **{f"web{number}": 2222 for number in (1, 2, 3)},
        **{f"db-{letter}.example.org": 22 for letter in "abc"},
    }
    assert [host.connection for host in in_json.hosts.values()] == [Connection(port=22, user="me")] * 2


def test_windows_hosts_in_ini(tmp_path: Path) -> None:
    """WinRM's variables are read from INI as from YAML."""
    text = (
        "dc01 ansible_host=192.0.2.5 remedy_computer_name=DC01\n[all:vars]\nansible_connection=winrm\n"
        "ansible_port=5985\nansible_user=svc\nansible_winrm_transport=ntlm\nansible_winrm_send_cbt=True\nansible_password=env:WIN\n"
    )
    host = _load(tmp_path, text).hosts["dc01"]

    assert (host.transport, host.connection.barred) == (Transport.WINRM, None)
    assert host.connection.winrm is not None
    assert (host.connection.winrm.auth, host.connection.password) == (WinRMAuth.NTLM, "env:WIN")


def test_variables_files_stand_beside_an_ini_inventory(tmp_path: Path) -> None:
    """group_vars and host_vars win over what the file says of a group, and host_vars over what it says of a host."""
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "host_vars").mkdir()
    (tmp_path / "group_vars/web.yml").write_text("{ansible_user: filed, ansible_port: 1}")
    (tmp_path / "host_vars/web-2").write_text("ansible_port: 3")
    inventory = _load(tmp_path, "[web]\nweb-[1:2] ansible_port=2\n[web:vars]\nansible_user=group\n")

    assert [(host.connection.user, host.connection.port) for host in inventory.hosts.values()] == [
        ("filed", 2),
        ("filed", 3),
    ]


@pytest.mark.parametrize(
    ("text", "name", "place"),
    [
        ("h ansible_user=me", "ansible_user", (1, 16)),
        ("  h   ansible_user='me'", "ansible_user", (1, 21)),
        ('h x="a b" ansible_user=me', "ansible_user", (1, 24)),
        ("h 'ansible_user=me'", "ansible_user", (1, 17)),
        ("# é\n\nh x=é ansible_user=me", "ansible_user", (3, 20)),
        ("[g]\nh\n[g:vars]\n  ansible_user =  me ", "ansible_user", (4, 19)),
        ("\n[g]\r\nh:22\r\n", "ansible_port", (3, 1)),
    ],
)
def test_value_has_its_place(text: str, name: str, place: tuple[int, int]) -> None:
    """Line and column are those of the value's first character, within its quotes."""
    found = _places(text)[name]

    assert (found.line, found.column) == place


def test_json_that_people_write_has_places(tmp_path: Path) -> None:
    """A mistake in JSON of an inventory is told with line and column; what `ansible-inventory` prints has none."""
    written = '{"web": {"hosts": {\n  "web-1": {"ansible_port": "x"}}}}'
    printed = '{"_meta": {"hostvars": {"web-1": {"ansible_port": "x"}}}, "web": {"hosts": ["web-1"]}}'
    with pytest.raises(FilesError) as first:
        _load(tmp_path, written, name="a.json")
    with pytest.raises(FilesError) as second:
        _load(tmp_path, printed, name="b.json")

    assert str(first.value).startswith(f"{tmp_path}/a.json:2:30: host web-1: ansible_port: must be a port")
    assert str(second.value).startswith(f"{tmp_path}/b.json: host web-1: ansible_port: must be a port")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("web-1 ansible_port=1\n[a]\nweb-1 ansible_port=2\n", "host web-1: ansible_port: stands already at line 1"),
        ("a\n[all:vars]\nansible_port=1\nansible_port=2\n", "group all: ansible_port: stands already at line 3"),
        ("a ansible_port=1 ansible_port=2\n", "host a: ansible_port: stands twice in this line"),
        ("a ansible_hots=1\n", "`ansible_hots` is no variable that remedy reads"),
    ],
)
def test_second_value_is_a_warning(tmp_path: Path, text: str, message: str) -> None:
    """Two values for one variable in a file are Ansible's to order, and a person's to know of."""
    [warning] = _load(tmp_path, text).warnings

    assert message in str(warning)


@pytest.mark.parametrize("text", ["a ansible_port=1\n[g]\na ansible_port=1\n", "a x=1 x=2\n[all:vars]\ny=1\ny=2\n"])
def test_same_value_or_one_of_others_is_no_warning(tmp_path: Path, text: str) -> None:
    """The same value twice changes nothing, and variables that remedy does not read are Ansible's."""
    assert _load(tmp_path, text).warnings == ()


@pytest.mark.parametrize(
    ("text", "user", "place"),
    [
        ("web-1 ansible_user=CORP\\svc\n", "CORPsvc", "1:24"),
        ("web-1  ansible_port=22 ansible_user=CORP\\svc # x\n", "CORPsvc", "1:41"),
        ("web-1 ansible_user=CORP\\\\svc\n", "CORP\\svc", None),
        ("web-1 ansible_user='CORP\\svc'\n", "CORP\\svc", None),
        ('web-1 ansible_user="CORP\\svc"\n', "CORP\\svc", None),
        ("web-1 'ansible_user=CORP\\svc'\n", "CORP\\svc", None),
        ("web-1 ansible_user=my\\ name\n", "my name", None),
        ("web-1 ansible_user=o\\'brien\n", "o'brien", None),
        ("web-1 ansible_user=u other=a\\b\n", "u", None),
        ("web-1\n[all:vars]\nansible_user=CORP\\svc\n", "CORP\\svc", None),
    ],
)
def test_backslash_that_is_lost_is_warned_about(tmp_path: Path, text: str, user: str, place: str | None) -> None:
    """As in Ansible a backslash outside of quotes goes away behind a host; it is told where, and by which variable."""
    inventory = _load(tmp_path, text)
    warned = [str(each).replace(f"{tmp_path}/", "") for each in inventory.warnings]

    assert inventory.hosts["web-1"].connection.user == user
    assert warned == (
        []
        if place is None
        else [
            (
                f"hosts:{place}: host web-1: ansible_user: this backslash is lost, as in Ansible; put the value in "
                "single quotes, or write two"
            )
        ]
    )


def test_lost_backslash_of_a_secret_shows_nothing_of_it(tmp_path: Path) -> None:
    """The warning names the place only, for the value may be a password."""
    inventory = _load(tmp_path, f"web-1 ansible_password=a\\{SECRET}\n")

    assert [each.place.column for each in inventory.warnings] == [24, 25]
    assert all(SECRET not in str(each) for each in inventory.warnings)


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("ansible_user=remedy # the account", "3:21"),
        ("ansible_host = a.example.org #x", "3:30"),
        ("ansible_port=22 # as always", None),
        ("ansible_user='remedy'  # the account", None),
        ("ansible_user='a # b'", None),
        ("ansible_user=remedy#1", None),
        ("other=a # b", None),
    ],
)
def test_comment_that_is_a_part_of_the_value_is_warned_about(tmp_path: Path, line: str, place: str | None) -> None:
    """Behind a text a '#' of [GROUP:vars] begins no comment, as in Ansible; that is told at its place."""
    (tmp_path / "hosts").write_text(f"web-1\n[all:vars]\n{line}\n", encoding="utf-8")
    graph, _ = read_graph(str(tmp_path / "hosts"))
    warned = [str(each).replace(f"{tmp_path}/", "") for each in graph.warnings]
    name = line.partition("=")[0].strip()

    assert warned == (
        []
        if place is None
        else [
            (
                f"hosts:{place}: group all: {name}: what follows '#' is no comment here, but a part of the value; "
                "move it to a line of its own"
            )
        ]
    )


def test_comment_behind_a_reference_is_told_as_one(tmp_path: Path) -> None:
    """A reference with a comment behind it in [GROUP:vars] is told once, and never as a literal password."""
    inventory = _load(tmp_path, "web-1\n[all:vars]\nansible_password=env:P # of the domain\n")

    assert [str(each).partition("hosts:")[2] for each in inventory.warnings] == [
        (
            "3:18: group all: ansible_password: is nearly a reference, and none: what follows '#' is no comment here, "
            "but a part of the value; write env:NAME or file:/PATH"
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"web-1 ansible_password={SECRET}\n",
        f"[all:vars]\nansible_password = '{SECRET}'\n[web]\nweb-1\n",
        f"web-[1:2] ansible_ssh_pass='{SECRET}'\n",
    ],
)
def test_literal_password_is_warned_about_and_kept_nowhere(tmp_path: Path, text: str) -> None:
    """A literal password in INI is a warning at its place, bars its hosts, and is in nothing that is loaded."""
    inventory = _load(tmp_path, text)
    [warning] = inventory.warnings

    assert warning.message.endswith("a literal secret stands in the inventory and is never used")
    assert warning.place.line > 0
    assert all("literal password" in (host.connection.barred or "") for host in inventory.hosts.values())
    assert SECRET not in repr(inventory)


@pytest.mark.parametrize(
    "text",
    [
        f"ansible_password={SECRET}\n",
        f"web-1 ansible_password=a {SECRET}\n",
        f"web-1 ansible_password='a {SECRET}\n",
        f"web-1 ansible_password={SECRET} ansible_port=x\n",
        f"web-1\n[all:vars]\n{SECRET}\n",
        f"web-1\n[all:vars]\nansible_password={SECRET}\n[x:vars]\n",
        f"web-1\n[all:vars]\nansible_port={SECRET}\n",
        f"web-1\n[all:children]\n{SECRET} ]\n",
        f"web[1:2 ansible_password={SECRET}\n",
        f"ansible_password={SECRET}[1:2\n",
        f"web-1 ansible_password={SECRET}\u2028\n",
    ],
)
def test_no_error_shows_a_value(tmp_path: Path, text: str) -> None:
    """What may be a password stands in no message, wherever the mistake is."""
    with pytest.raises(FilesError) as caught:
        _load(tmp_path, text)

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("variable", "reason"),
    [
        ("ansible_host={{ip}}", "ansible_host is a template, which only Ansible can fill in; write the value"),
        ("ansible_password={{p}}", "ansible_password is a template; write env:NAME or file:/PATH"),
        ("ansible_user=\"{'__ansible_vault': 'x'}\"", "ansible_user is encrypted or marked by Ansible"),
        ("ansible_become_password={{p}}", "ansible_become_password is not supported"),
    ],
)
def test_template_that_is_needed_names_variable_and_file(tmp_path: Path, variable: str, reason: str) -> None:
    """What only Ansible could make out refuses the host, and says which variable and where it stands."""
    column = 7 + len(variable.partition("=")[0]) + 1 + variable.count('"') // 2
    barred = _load(tmp_path, f"web-1 {variable} other={{{{x}}}}\n").hosts["web-1"].connection.barred or ""

    assert barred.startswith(reason)
    assert barred.endswith(f"({tmp_path}/hosts:1:{column})")


@pytest.mark.parametrize("value", ["{{ x }}", "!vault |", "$ANSIBLE_VAULT;1.1;AES256", "'", "[1,", "#"])
def test_value_that_is_not_needed_may_be_anything(tmp_path: Path, value: str) -> None:
    """Variables that remedy does not read are opaque, whatever stands there."""
    assert _load(tmp_path, f"a\n[all:vars]\nother={value}\n").hosts["a"].connection == Connection()


def test_folder_of_all_forms_is_one_inventory(tmp_path: Path) -> None:
    """INI, YAML, JSON and folders below are read by their names; later files may speak of groups of earlier ones."""
    files = {
        "10.ini": "[web]\nweb-1\n",
        "20.yaml": "db:\n  hosts:\n    db-[1:2]:\n",
        "30.json": '{"web": {"hosts": {"web-2": null}}}',
        "40-more/hosts": "[site:children]\nweb\ndb\n[db:vars]\nansible_port=2222\n",
        "40-more/group_vars/web.yml": "ansible_port: 7\n",
        "notes.txt": "this is no inventory",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    inventory = load_inventory(str(tmp_path), types=TYPES)

    assert inventory.groups["site"] == ("db-1", "db-2", "web-1", "web-2")
    assert {host.connection.port for host in inventory.hosts.values() if "web" in host.groups} == {None}
    assert inventory.hosts["db-2"].connection.port == 2222
    assert [warning.place.file.removeprefix(f"{tmp_path}/") for warning in inventory.warnings] == [
        "40-more/group_vars",
        "notes.txt",
    ]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [("[web]\nweb-1\n", ("web-1",)), ("all:\n  hosts:\n    a:\n", ("a",)), ("# x\n---\nall: {hosts: {a: }}\n", ("a",))],
)
def test_standard_input_is_ini_or_yaml(text: str, hosts: tuple[str, ...]) -> None:
    """Where no name says the form, the first line that is no comment does."""
    assert tuple(load_inventory("-", stdin_text=text, types={}).hosts) == hosts


@pytest.mark.parametrize(("source", "port"), [("web-1:2222,", 2222), ("[2001:db8::1]:22,", 22), ("2001:db8::1,", None)])
def test_hosts_with_commas_may_say_a_port(source: str, port: int | None) -> None:
    """`-i HOST:PORT,` is read as Ansible reads it."""
    [host] = load_inventory(source, types={}).hosts.values()

    assert host.connection.port == port


def test_hosts_with_commas_are_no_ranges() -> None:
    """Ansible takes a range on the command line for a name; remedy refuses it."""
    with pytest.raises(FilesError, match="ranges stand in files; name each host"):
        load_inventory("web[1:3],", types={})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web", ["web"]),
        ("w[1:3]", ["w1", "w2", "w3"]),
        ("w[08:10]", ["w08", "w09", "w10"]),
        ("w[01:10:4]x", ["w01x", "w05x", "w09x"]),
        ("w[:2]", ["w0", "w1", "w2"]),
        ("[a:c].x", ["a.x", "b.x", "c.x"]),
        ("[y:B]", ["y", "z", "A", "B"]),
        ("a[1:2]b[a:b]", ["a1ba", "a1bb", "a2ba", "a2bb"]),
        ("w[5:5]", ["w5"]),
    ],
)
def test_range_is_its_names(text: str, names: list[str]) -> None:
    """Ranges of numbers and letters, with steps and leading zeros; the last of several turns fastest."""
    term = host_term(text)

    assert list(term.names()) == names
    assert (term.count, term.first) == (len(names), names[0])


@given(st.text(alphabet="ab0189:[]-.w", max_size=24))
def test_entry_is_names_or_an_error(text: str) -> None:
    """Whatever stands for a host, its names are as many as it says, or it is refused with ValueError."""
    try:
        term = host_term(text)
    except ValueError:
        return
    assert term.count <= RANGE_HOSTS_MAX
    assert sum(1 for _ in term.names()) == term.count


def test_ranges_of_a_file_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many large ranges are refused before their hosts are made."""
    monkeypatch.setattr("remedy.load.inventory.graph._NAMED_MAX", 20_000)
    graph = Graph()
    read_ini(graph, "[g]\n" + "".join(f"w{line}-[1:1000] ansible_port=1\n" for line in range(100)), file="hosts")

    assert len(graph.hosts) == 10_000
    assert str(graph.problems[0]) == (
        "hosts:12:1: with 'w10-[1:1000]' the ranges stand for more than 20000 hosts and variables; write smaller ranges"
    )
    assert len(graph.problems) == 90


@pytest.mark.slow
def test_largest_ranges_are_read_in_bounded_time() -> None:
    """Half a million hosts of ranges are read, and a hundred times as many refused, within the time of a coffee."""
    graph = Graph()
    started = time.process_time()
    read_ini(graph, "".join(f"w{line}-[1:16384]\n" for line in range(700)), file="hosts")

    assert len(graph.hosts) == 30 * 16_384
    assert time.process_time() - started < 30


@given(st.text(alphabet="ab= \t#'\"\\é\u00a0[]:", max_size=20))
def test_words_are_those_of_a_shell(line: str) -> None:
    """Words are those of shlex with comments, which Ansible uses, and each character has its column."""
    try:
        wanted = shlex.split(line, comments=True)
    except ValueError:
        with pytest.raises(ValueError, match=r"ends in|has a quotation"):
            split_words(line)
        return
    words = split_words(line)

    assert [word.text for word in words] == wanted
    for word in words:
        assert "".join(line[column - 1] for column in word.columns[:-1]) == word.text


_LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet="ab '\"\\é", max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(alphabet="ab", max_size=3), each, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(_LITERALS)
def test_literal_is_its_value(value: object) -> None:
    """What Python writes of a value is read as that value, with its types."""
    read = plain(literal_node(repr(value), line=1, column=1))

    assert repr(read) == repr(value)


@given(st.text(alphabet="01eE+-.xXoOjabTrueFlsN'\"[](){}:, _#\\\n", max_size=16))
def test_what_is_no_literal_is_text(text: str) -> None:
    """A value is what Python makes of it, else the text; it fails for none."""
    try:
        wanted = literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, SyntaxWarning, DeprecationWarning):
        return
    node = literal_node(text, line=1, column=1)

    match node:
        case ScalarNode() if not node.doubt and isinstance(wanted, (str, int, float, type(None))):
            assert repr(node.value) == repr(wanted)
        case ScalarNode():
            assert node.doubt or isinstance(wanted, (bytes, complex, type(...)))
        case ListNode():
            assert isinstance(wanted, (list, tuple))
        case MappingNode():
            assert isinstance(wanted, dict)
        case OpaqueNode():
            assert isinstance(wanted, (set, dict))


@pytest.mark.parametrize(
    "text",
    ["[" * 100 + "]" * 100, "-" * 50_000 + "1", "(" * 50_000, "1" * 50_000, "[" + "1," * 40_000, "1e999", "{[]: 1}"],
)
def test_extreme_literal_is_soon_something(text: str) -> None:
    """Neither depth nor length of a value stops remedy."""
    started = time.process_time()
    literal_node(text, line=1, column=1)

    assert time.process_time() - started < 5


_PIECES = [
    "[",
    "]",
    ":",
    "=",
    "#",
    ";",
    "'",
    '"',
    "\\",
    " ",
    "\n",
    "\t",
    "web",
    "all",
    ":vars]",
    ":children]",
    "[web]\n",
]
_PIECES += [
    "ansible_port=",
    "ansible_user=",
    "remedy_params=",
    "{'low-disk':",
    "5",
    "}",
    "[1:3]",
    "[a:c]",
    ":22",
    "{{ x }}",
]
_PIECES += [
    "\0",
    "\ufeff",
    "\u2028",
    "é",
    "---",
    "- ",
    "$ANSIBLE_VAULT;",
    "ungrouped",
    "ansible_group_priority=",
    "\r",
    "@",
]


@settings(deadline=2_000)
@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=4), max_size=40).map("".join))
def test_any_text_is_an_inventory_or_an_error_of_ours(text: str) -> None:
    """Whatever stands on standard input, it is read or refused with our own error, and soon."""
    try:
        inventory = load_inventory("-", stdin_text=text, types=TYPES)
    except FilesError:
        return
    assert inventory.hosts


@settings(deadline=2_000)
@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=4), max_size=40).map("".join))
def test_any_text_is_ini_with_places(text: str) -> None:
    """Each problem of an INI inventory has a line and a column that the text has."""
    graph = Graph(prefixes=("",))
    try:
        read_ini(graph, text, file="hosts")
        resolve(graph)
        problems = graph.problems
    except FilesError as exc:
        problems = list(exc.problems)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for problem in problems:
        assert 1 <= problem.place.line <= len(lines)
        assert 1 <= problem.place.column <= len(lines[problem.place.line - 1]) + 1
