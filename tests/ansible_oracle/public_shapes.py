"""
Inventories of the shapes that public projects ship, made by seed.

Each function is one family: clusters of Kubernetes, Windows laboratories, storage,
databases, networks, what Vagrant and Terraform write. Nothing is copied; sections,
spelling, comments and the ways of writing values are those that are met there.
"""

# ruff: noqa: E501 - the lines of inventories stand as they are written.

import json
from collections.abc import Callable, Iterable
from random import Random

from tests.ansible_oracle.oracle_case import Case

__all__ = ["public_cases"]

_SEEDS = 11


def public_cases() -> list[Case]:
    """Return the cases of every family for every seed."""
    return [
        Case(name=f"{make.__name__.strip('_')}-{seed}", files=files, source=source, is_public_shape=True)
        for make in _FAMILIES
        for seed in range(_SEEDS)
        for files, source in [make(Random(f"{make.__name__} {seed}"))]
    ]


_Made = tuple[dict[str, str], str]


def _address(random: Random) -> str:
    return f"{random.choice((10, 172, 192))}.{random.randrange(256)}.{random.randrange(256)}.{random.randint(1, 254)}"


def _numbered(stem: str, count: int, *, width: int = 1) -> list[str]:
    return [f"{stem}{number:0{width}}" for number in range(1, count + 1)]


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join((f"[{title}]", *lines, "", ""))


def _some(random: Random, names: list[str], least: int = 0) -> list[str]:
    picked = set(random.sample(names, random.randint(min(least, len(names)), len(names))))
    return [name for name in names if name in picked]


def _kubernetes_cluster(random: Random) -> _Made:
    nodes = _numbered("node", random.randint(3, 9))
    lines = [
        f"{node} ansible_host={_address(random)}  ip={_address(random)}"
        + (f" etcd_member_name=etcd{number}" if number < 4 else "")
        for number, node in enumerate(nodes, start=1)
    ]
    bastion = random.random() < 0.5
    text = "# ## one line a machine; `ip` is where services listen\n" + _section("all", lines)
    if bastion:
        text += _section("bastion", [f"bastion ansible_host={_address(random)} ansible_user=some_user"])
    text += _section("kube_control_plane", ["# node9", *nodes[:2]])
    if random.random() < 0.5:
        text += _section("etcd", nodes[:3])
    else:
        text += _section("etcd:children", ["kube_control_plane"])
    text += _section("kube_node", nodes[2:])
    text += _section("calico_rr", [])
    text += _section("k8s_cluster:children", ["kube_control_plane", "kube_node", "calico_rr"])
    shared = ["ansible_python_interpreter=/usr/bin/python3", f"ansible_become={random.choice(('true', 'True', 'yes'))}"]
    text += _section("all:vars", shared)
    files = {
        "inventory.ini": text,
        "group_vars/all/all.yml": f"---\nbin_dir: /usr/local/bin\nloadbalancer_apiserver_port: {random.randrange(10000)}\n",
        "group_vars/all/docker.yml": 'cache_kept: 1\nlog_options: "--size 50m"\n',
        "group_vars/k8s_cluster/k8s-cluster.yml": "kube_network_plugin: calico\nbin_dir: /opt/bin\n"
        "kube_service_addresses: 10.233.0.0/18\nkube_users:\n  kube: {role: admin, groups: [system:masters]}\n",
        "group_vars/etcd.yml": "etcd_deployment_type: host\n",
        f"host_vars/{nodes[0]}.yml": "kube_network_plugin: cilium\n",
    }
    return files, random.choice(("inventory.ini", "."))


def _kubernetes_in_yaml(random: Random) -> _Made:
    nodes = _numbered("node", random.randint(2, 6))
    hosts = "".join(
        f"    {node}:\n      ansible_host: {_address(random)}\n      access_ip: {_address(random)}\n" for node in nodes
    )
    listed = {
        name: "".join(f"        {node}:\n" for node in _some(random, nodes, 1)) for name in ("cp", "node", "etcd")
    }
    text = (
        f"all:\n  hosts:\n{hosts}  children:\n"
        f"    kube_control_plane:\n      hosts:\n{listed['cp']}"
        f"    kube_node:\n      hosts:\n{listed['node']}"
        f"    etcd:\n      hosts:\n{listed['etcd']}"
        "    k8s_cluster:\n      children:\n        kube_control_plane:\n        kube_node:\n"
        "    calico_rr:\n      hosts: {}\n"
    )
    return {"hosts.yaml": text, "group_vars/kube_node.yaml": "node_labels: {disk: ssd}\n"}, "hosts.yaml"


def _small_kubernetes(random: Random) -> _Made:
    agents = "".join(f"        {_address(random)}:\n" for _ in range(random.randint(1, 5)))
    text = (
        "---\nk3s_cluster:\n  children:\n    server:\n      hosts:\n"
        f"        {_address(random)}:\n    agent:\n      hosts:\n{agents}"
        "  # what all of them need\n  vars:\n    ansible_port: 22\n    ansible_user: debian\n"
        f"    k3s_version: v1.{random.randint(20, 31)}.6+k3s1\n    token: 'changeme!'\n"
        "    api_endpoint: \"{{ hostvars[groups['server'][0]]['ansible_host'] | default(groups['server'][0]) }}\"\n"
        "    extra_server_args: ''\n"
    )
    return {"inventory.yml": text}, "inventory.yml"


def _windows_laboratory(random: Random) -> _Made:
    controllers = _numbered("dc", random.randint(1, 3), width=2)
    servers = _numbered("srv", random.randint(1, 4), width=2)
    machines = [*controllers, *servers]
    roles = [
        *("dc", "server", "workstation", "parent_dc", "child_dc", "trust", "adcs", "adcs_customtemplates", "iis"),
        *(
            "mssql",
            "mssql_ssms",
            "webdav",
            "laps_dc",
            "laps_server",
            "update",
            "no_update",
            "defender_on",
            "no_defender",
        ),
    ]
    data = (
        "; the laboratory as a whole\n[all:vars]\n; where its files lie\ndomain_name=LAB\n\nadmin_user=administrator\n"
        'keyboard_layouts=["en-US", "da-DK"]\nadd_route=no\nroute_network=10.0.0.0/8\nroute_gateway=192.168.56.1\n'
        "ad_http_proxy=http://x.x.x.x:xxxx\nforce_dns_server=no\ndns_server=1.1.1.1\n\n; how to get onto the machines\n"
        "ansible_user=vagrant\nansible_password=vagrant\nansible_connection=winrm\n"
        "ansible_winrm_server_cert_validation=ignore\nansible_winrm_operation_timeout_sec=400\n"
        "ansible_winrm_read_timeout_sec=500\n# ansible_winrm_transport=basic\n# ansible_port=5985\n\n"
        "; members of the domain\n; read by : setup.yml\n"
        + _section("domain", machines)
        + "".join(f"; read by : {role}.yml\n{_section(role, _some(random, machines))}" for role in roles)
    )
    provider = "[default]\n; the addresses are those of the inner network\n" + "".join(
        f"{name} ansible_host={_address(random)} dns_domain={controllers[0]} dict_key={name}"
        + random.choice(("", " ansible_user=administrator@lab.local ansible_password=Not-A-Secret_1", " dns_domain=x"))
        + "\n"
        for name in machines
    )
    proxy = 'proxy_ip=x.x.x.x\nproxy_port=8080\nad_https_proxy="http://{{proxy_ip}}:{{proxy_port}}"\n;dns_server_forwarder=1.1.1.1\n'
    if random.random() < 0.5:
        return {"01_data": data, "02_provider": provider, "globalsettings.ini": f"[all:vars]\n{proxy}"}, "."
    return {"inventory": provider + "\n" + data}, "inventory"


def _platform_with_labels(random: Random) -> _Made:
    domain = random.choice(("example.com", "lab.internal", "cloudapps.example.org"))
    last = random.randint(2, 5)
    text = (
        "# everything that belongs to the platform\n"
        "[OSEv3:children]\nmasters\nnodes\netcd   # the store\nlb\n\n# what holds for all of it\n[OSEv3:vars]\n"
        "ansible_ssh_user=root\n#ansible_become=true\nopenshift_deployment_type=origin\n"
        f"openshift_release=v3.{random.randint(6, 11)}\nopenshift_image_tag={random.choice(('3.11', 'v3.11.0', '3.9'))}\n"
        "openshift_disable_check=memory_availability,disk_availability,docker_storage\n"
        "openshift_master_identity_providers=[{'name': 'htpasswd_auth', 'login': 'true', 'challenge': 'true', "
        "'kind': 'HTPasswdPasswordIdentityProvider'}]\n"
        "osm_default_node_selector=\"region=primary\"\nopenshift_router_selector='region=infra'\n"
        "openshift_master_htpasswd_users={'admin': '$apr1$made$Up.For/Tests'}\n"
        "openshift_clock_enabled = true\nopenshift_node_groups=[{'name': 'node-config-all', 'labels': ['a=b']}]\n\n"
        f"[masters]\nmaster.{domain} openshift_schedulable=false\n\n[etcd]\nmaster.{domain}\n\n[lb]\n\n"
        f"# machines for work, with their labels\n[nodes]\n"
        f"master.{domain} openshift_node_labels=\"{{'region': 'infra', 'zone': 'default'}}\"\n"
        f"node[1:{last}].{domain} openshift_node_labels=\"{{'region':'primary','zone':'east'}}\" openshift_schedulable=True\n"
        f"infra-[01:0{last}:2].{domain} openshift_node_group_name='node-config-infra' glusterfs_devices='[ \"/dev/sdb\", \"/dev/sdc\" ]'\n"
    )
    return {"hosts": text, "group_vars/OSEv3.yml": f"openshift_master_default_subdomain: apps.{domain}\n"}, "hosts"


def _storage_cluster(random: Random) -> _Made:
    count = random.randint(3, 8)
    monitors = f"ceph-mon[1:{random.randint(1, 3)}]"
    text = (
        _section("mons", [monitors])
        + _section("mgrs", [monitors])
        + _section("osds", [f"ceph-osd[1:{count}]", f"ceph-osd-{random.choice(('[a:c]', '[x:z]', '[A:B]'))}"])
        + _section("osds-dell", [f"ceph-osd[1:{count - 1}] devices=\"['/dev/sda', '/dev/sdb']\""])
        + _section(
            "osds:vars", ["lvm_volumes=[{'data': '/dev/sdb'}, {'data': '/dev/sdc'}]", "osd_objectstore=bluestore"]
        )
        + _section(
            "rgws", [f"rgw{number} radosgw_address={_address(random)}" for number in range(random.randint(0, 2))]
        )
        + _section("ceph:children", ["mons", "mgrs", "osds", "rgws"])
        + _section(
            "ceph:vars", ["public_network=10.0.0.0/24", "ceph_conf_overrides={'global': {'mon_max_pg_per_osd': 500}}"]
        )
    )
    files = {
        "hosts": text,
        "group_vars/all.yml": "ceph_origin: repository\nceph_stable_release: pacific\njournal_size: 5120\n",
        "group_vars/osds.yml": "osd_auto_discovery: true\ndevices:\n  - /dev/sdd\n",
        "host_vars/ceph-osd2/main.yml": "journal_size: 18000\n",
    }
    return files, "."


def _cloud_platform(random: Random) -> _Made:
    services = [f"service{number}" for number in range(random.randint(8, 20))]
    text = (
        "# only these few are to be changed\n"
        + _section("control", [f"control0[1:{random.randint(1, 3)}]"])
        + _section("network", ["network01", "network02"])
        + _section("compute", ["compute01", "# compute02"])
        + _section("monitoring", ["monitoring01"])
        + _section("storage", ["storage01"])
        + _section("deployment", ["localhost       ansible_connection=local"])
        + _section("baremetal:children", ["control", "network", "compute", "storage", "monitoring"])
        + _section("common:children", ["baremetal", "deployment"])
    )
    declared = ["control", "network", "compute", "monitoring", "storage"]
    for service in services:
        text += _section(f"{service}:children", _some(random, declared[-6:], 1))
        declared.append(service)
        if random.random() < 0.4:
            text += _section(f"{service}-agent:children", [service, *(["compute"] if random.random() < 0.5 else [])])
    text += (
        _section("late:children", ["later", "control"])
        + _section("later:children", ["latest"])
        + _section("latest", ["control01"])
    )
    return {
        "multinode": text,
        "group_vars/control": "tier: control\n",
        "group_vars/all": "tier: all\nregion: one\n",
    }, "multinode"


def _regions(random: Random) -> _Made:
    text = (
        _section("atlanta", ["host1", "host2"])
        + _section("raleigh", ["host2 mirror=raleigh.example.com", f"host3:{random.choice((22, 2222, 5309))}"])
        + _section("southeast:children", ["atlanta", "raleigh"])
        + _section(
            "southeast:vars",
            [
                "mirror=south.example.com",
                "lights_off_after=30",
                "restart_after=60",
                "spare_rooms=2",
            ],
        )
        + _section("usa:children", ["southeast", "northeast", "southwest", "northwest"])
        + "".join(
            _section(name, _some(random, ["host4", "host5", "host1"]))
            for name in ("northeast", "southwest", "northwest")
        )
        + _section("usa:vars", [f"ansible_group_priority={random.randint(1, 20)}", "spare_rooms=4", "http_port=80"])
        + _section(
            "atlanta:vars",
            ["http_port=303", "ntp_server=ntp.atlanta.example.com", f"ansible_group_priority={random.randint(1, 5)}"],
        )
        + _section("raleigh:vars", ["http_port=304", "ntp_server=ntp.raleigh.example.com"])
    )
    return {
        "hosts": "mail.example.com\n192.168.1.50\n\n" + text,
        "group_vars/raleigh": "---\nntp_server: files.example.com\n",
    }, "hosts"


def _tagged_export(random: Random) -> _Made:
    names = [f"ec2-{_address(random).replace('.', '-')}.compute-1.amazonaws.com" for _ in range(random.randint(2, 6))]
    regions = ("us-east-1", "eu-central-1a", "ap-southeast-2")
    text = "".join(_section(region, _some(random, names)) for region in regions)
    text += "".join(
        _section(f"tag_{key}_{value}", _some(random, names, 1)) for key in ("Name", "Role") for value in ("web", "db_1")
    )
    text += _section("ec2:children", [*regions, "tag_Name_web", "tag_Name_db_1"])
    text += _section(
        "ec2:vars", ["ansible_user=ec2-user", "ansible_ssh_private_key_file=~/.ssh/id_rsa", "gather_facts=False"]
    )
    text += _section(
        "tag_Role_web:vars", ["http_port=80", "maxRequestsPerChild=808", "ratio=0.75", "mask=0644", "when=2024-01-01"]
    )
    return {"inventory.ini": text}, "inventory.ini"


def _vagrant_written(random: Random) -> _Made:
    text = "# Generated by Vagrant\n\n" + "".join(
        f"{name} ansible_host=127.0.0.1 ansible_port={random.randint(2200, 2299)} ansible_user='vagrant' "
        f"ansible_ssh_private_key_file='/home/me/My Machines/.vagrant/{name}/private_key'\n"
        for name in _numbered("machine", random.randint(1, 4))
    )
    text += "\n" + _section("web:children", ["front", "back"]) + _section("front", ["machine1"]) + _section("back", [])
    text += _section(
        "all:vars", ["ansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'"]
    )
    return {"vagrant_ansible_inventory": text}, "vagrant_ansible_inventory"


def _network_devices(random: Random) -> _Made:
    text = (
        "all:\n  vars:\n    ansible_connection: ansible.netcommon.network_cli\n    ansible_user: netops\n  children:\n"
        "    leafs:\n      hosts:\n"
        f"        leaf[01:0{random.randint(2, 6)}]:\n          ansible_network_os: vyos.vyos.vyos\n"
        f"        leaf09.dc{random.randint(1, 3)}.example.net: {{ansible_host: {_address(random)}, asn: {random.randint(64512, 65534)}}}\n"
        "      vars:\n        mtu: 9216\n        uplinks: [swp1, swp2]\n"
        "    spines:\n      hosts:\n        spine[1:2]:\n        spine3: {mtu: 1500}\n      vars: {mtu: 9000}\n"
        "    network:\n      children:\n        leafs:\n        spines:\n      vars: {mtu: 1400, site: west}\n"
    )
    if random.random() < 0.5:
        text += (
            "    routers:\n      hosts: edge-[a:c]\n      vars:\n        bgp: {as: 65000, peers: [{ip: 10.0.0.1}]}\n"
        )
    return {
        "hosts.yml": text,
        "host_vars/leaf01.yml": "mtu: 1450\n",
        "group_vars/network/main.yaml": "site: east\n",
    }, "."


def _database_cluster(random: Random) -> _Made:
    nodes = [_address(random) for _ in range(random.randint(2, 5))]
    text = (
        "# the first member leads\n[etcd_cluster]\n"
        + "\n".join(nodes)
        + "\n\n[balancers]\n"
        + "".join(f"#{node}\n" for node in nodes)
        + "\n[master]\n"
        + f"{nodes[0]} hostname=pgnode01 postgresql_exists=false\n\n[replica]\n"
        + "".join(
            f"{node} hostname=pgnode{number:02} postgresql_exists=false new_node={random.choice(('true', 'false'))}\n"
            for number, node in enumerate(nodes[1:], start=2)
        )
        + "\n[postgres_cluster:children]\nmaster\nreplica\n\n[all:vars]\nansible_connection='ssh'\nansible_ssh_port='22'\n"
        + "#ansible_ssh_private_key_file=\nansible_user='root'\n# ansible_ssh_pass='made-up'  # \"helper\" must be installed\n"
        + "pgdata = \nmax_connections=\"500\"\nports=(5432, 6432)\n[pgbackrest:vars]\nansible_user='postgres'\n[pgbackrest]\n"
    )
    return {"inventory": text}, "inventory"


def _mixed_folder(random: Random) -> _Made:
    first = _section("web", [f"web{number}.example.com" for number in range(1, 4)]) + _section("db", ["db[01:03]"])
    second = (
        "all:\n  children:\n    prod:\n      children:\n        web:\n        db:\n      vars: {env: prod, level: 2}\n"
        "    staging:\n      hosts:\n        stage1: {level: 1}\n"
    )
    third = {"monitoring": {"hosts": {"mon1": {"retention": 30}, "web1.example.com": None}, "vars": {"scrape": True}}}
    files = {
        "01-static.ini": first,
        "02-groups.yml": second,
        "03-monitoring.json": json.dumps(third, indent=2),
        "04-cache/redis": "[redis:children]\ndb\n\n[redis]\nredis1\n\n[db:vars]\nengine=pg\n",
        "README.md": "not an inventory",
        "old.ini.bak": "[broken",
        ".hidden.ini": "[broken",
        "group_vars/prod.yml": f"level: {random.randint(3, 9)}\n",
        "group_vars/db/10-a.yml": "engine: pg12\nbackups: {daily: true}\n",
        "group_vars/db/20-b.yaml": "engine: pg16\n",
        "group_vars/db/30-more/c.yml": "pool: 5\n",
        "group_vars/db/conf.d/never.yml": "engine: nobody reads this\n",
        "host_vars/db02.json": '{"engine": "mariadb"}',
        "host_vars/web1.example.com": "level: 99\n",
    }
    return {name: text for name, text in files.items() if not name.startswith("04") or random.random() < 0.7}, "."


def _fleet_of_roles(random: Random) -> _Made:
    hosts = [
        f"{role}{number}.{site}.example.org" for role in ("app", "lb") for number in (1, 2) for site in ("fra", "nyc")
    ]
    text = _section("debops_all_hosts", [f"{name} ansible_host={name}" for name in hosts])
    for service in ("nginx", "postgresql_server", "core", "sshd"):
        text += (
            _section(f"debops_service_{service}", _some(random, hosts))
            if random.random() < 0.5
            else _section(f"debops_service_{service}:children", ["debops_all_hosts"])
        )
    text += _section(
        "debops_all_hosts:vars",
        ["core__admins=['alice', 'bob']", "sshd__port=22", "timeout=1e3", "hexa=0x1F", "name=007"],
    )
    text += f"\n[fra:vars]\nsite=fra\nntp=['0.de.pool.ntp.org', '1.de.pool.ntp.org']\n[fra]\n{hosts[0]}\n{hosts[2]}   # moved\n"
    return {
        "ansible/inventory/hosts": text,
        "ansible/inventory/group_vars/all/keyring.yml": "keyring__enabled: false\nsite: none\n",
        f"ansible/inventory/host_vars/{hosts[0]}/nginx.yml": "nginx__port: 8080\n",
    }, "ansible/inventory"


def _quoted_values(random: Random) -> _Made:
    number = random.randint(1, 99)
    text = (
        f"jump ansible_host=203.0.113.{number} ansible_ssh_common_args='-o ProxyCommand=\"ssh -W %h:%p -q user@bastion\"'\n"
        f'app ansible_host=198.51.100.{number} tags="[\'a\', \'b\']" motd="it\'s \\"fine\\"" path=C:\\\\Temp\\\\x port=\'"{number}"\'\n'
        f"ipv6 ansible_host=2001:db8::{number} note='# no comment' # a comment\n[2001:db8::{number}]:2222 tier=six\n"
        f"[named]\nalias-{number} ansible_host=app.example.net ansible_port={number + 1000} empty= none=None yes=yes\n\n[named:vars]\n"
        f"greeting = \"hello # there\"\nplain = hello # there\nnumber = {number} # of them\nnested = {{'a': [1, 2.5, None, True], 'b': ('x',)}}\n"
        "equals=a=b=c\nquote=it's\nlead=  spaced  \nscientific=1e3\nhex=0xff\noctal=0o17\nold_octal=017\nunder=1_000\nneg=-5\nversion=1.10\nver3=1.2.3\n"
    )
    return {"hosts.ini": text}, "hosts.ini"


_FAMILIES: tuple[Callable[[Random], _Made], ...] = (
    _kubernetes_cluster,
    _kubernetes_in_yaml,
    _small_kubernetes,
    _windows_laboratory,
    _platform_with_labels,
    _storage_cluster,
    _cloud_platform,
    _regions,
    _tagged_export,
    _vagrant_written,
    _network_devices,
    _database_cluster,
    _mixed_folder,
    _fleet_of_roles,
    _quoted_values,
)
