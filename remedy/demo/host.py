"""
One host of the demo: what is planted on it, and the shell script that makes it.

A host is a set of namespaces of its own (mounts, processes, name) on this
machine: everything is read-only, and what a rule may write is memory that is
gone with the host. Nothing here starts a process; `fleet` does.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["SETUP", "VOLUME", "DemoHost", "Volume", "sshd_config"]

VOLUME = "/srv"
"""Where the planted volume of every host is mounted."""


class Volume(StrEnum):
    """
    What is planted on a host's volume.

    roomy     a few files, most of it free
    full      nearly full of old files in its temporary folder: a clean-up helps
    stubborn  nearly full of data: no clean-up helps
    """

    ROOMY = "roomy"
    FULL = "full"
    STUBBORN = "stubborn"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoHost:
    """
    A host of the fleet: its inventory name and group, its volume, whether it is up at first.

    With `foreign_find` its find(1) is not GNU's, so that a fix which needs that one
    fails. Such a fix first waits, at most 20 seconds, until a fix was started on
    each host in `waits_for`: it fails after its neighbours began, however fast it is.
    """

    name: str
    group: str = "web"
    volume: Volume = Volume.ROOMY
    up: bool = True
    foreign_find: bool = False
    waits_for: tuple[str, ...] = ()


def sshd_config(address: str, port: int) -> str:
    """Return the whole configuration of a host's daemon; nothing of the machine's own is read."""
    return f"""\
ListenAddress {address}:{port}
HostKey /run/planted/host_key
AuthorizedKeysFile /run/planted/authorized_keys
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UseDNS no
PrintMotd no
PrintLastLog no
X11Forwarding no
AllowAgentForwarding no
AllowTcpForwarding no
MaxStartups 100
LogLevel ERROR
"""


SETUP = r"""# Makes one host out of the namespaces it runs in; argument 1 is its name, 2 its
# volume, 3 whose find(1) it has, the rest the hosts that it waits for. Runs in the
# host's own folder, and reaches it as "." once /tmp is covered. Says "ready", then
# lives until its input ends.
set -eu
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
name=$1 volume=$2 find=$3
shift 3

memory() {  # PLACE MODE SIZE: an empty file system in memory over a folder that exists.
    if [ -d "$1" ]; then mount -t tmpfs -o "mode=$2,size=$3" remedy-demo "$1"; fi
}

# Processes and settings of the kernel: this host sees its own, and changes none.
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys

# All that is mounted here becomes read-only, for this host alone. A mount that the
# kernel locks stays as it is; what counts is checked below.
while read -r _ _ _ _ point _; do
    case $point in
        /proc | /dev/pts) ;;
        *) mount -o remount,bind,ro "$(printf '%b' "$point")" 2>/dev/null || : ;;
    esac
done < /proc/self/mountinfo
for folder in / /etc /usr /var; do
    if [ -w "$folder" ]; then
        echo "$folder could not be made read-only" >&2
        exit 1
    fi
done

# A copy of /etc, without the machine's secrets and with accounts of its own.
memory /root 755 256m
tar -C /etc --exclude=./ssh --exclude=./ssl/private --exclude='./*shadow*' --exclude='./sudoers*' -cf - . |
    tar -C /root -xf -
mount -n --move /root /etc
mkdir -p /etc/remedy /etc/motd.d
echo "$name" > /etc/hostname
hostname "$name"
cat > /etc/passwd <<ACCOUNTS
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sshd:x:102:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
ACCOUNTS
(umask 077 && sed 's/^\([^:]*\):.*/\1:*:20000:0:99999:7:::/' /etc/passwd > /etc/shadow)

# Memory over every place that a rule may write.
for folder in /var/cache /var/log; do memory "$folder" 755 16m; done
for folder in /tmp /var/tmp /dev/shm; do memory "$folder" 1777 16m; done
memory /root 700 16m
memory /run 755 16m
mkdir -p /run/sshd /run/lock /run/remedy /run/planted
chmod 700 /run/remedy

# The folder with its keys; and the markers of started fixes, where the fleet can count them.
mount --no-canonicalize --bind . /run/planted
mount -o remount,bind,ro /run/planted
mount --no-canonicalize --bind ./markers /run/remedy
mount -o remount,bind,rw /run/remedy

# The volume: data, an upload of today, and what fills it.
memory /srv 755 8m
mkdir -m 1777 /srv/tmp
mkdir -p /srv/data
head -c 300000 /dev/zero > /srv/data/orders.db
head -c 100000 /dev/zero > /srv/tmp/upload-today.part
for number in 1 2 3 4 5 6 7; do
    case $volume in
        full)
            head -c 1040000 /dev/zero > "/srv/tmp/export-$number.csv"
            touch -t 202001010000 "/srv/tmp/export-$number.csv" ;;
        stubborn)
            head -c 1040000 /dev/zero > "/srv/data/orders-$number.db" ;;
    esac
done

if [ "$find" = foreign ]; then
    mkdir /run/neighbours
    mount --no-canonicalize --bind .. /run/neighbours
    mount -o remount,bind,ro /run/neighbours
    cat > /run/find <<FIND
#!/bin/sh
tries=200
[ -n "\${REMEDY_EXECUTION:-}" ] || tries=0
for neighbour in $*; do
    while [ "\$tries" -gt 0 ] && ! ls "/run/neighbours/\$neighbour/markers" | grep -qE '^[0-9a-f]{16}\$'; do
        tries=\$((tries - 1))
        sleep 0.1
    done
done
echo "find: unrecognized: \$*" >&2
exit 1
FIND
    chmod 755 /run/find
    mount --bind /run/find "$(command -v find)"
fi

echo ready
while read -r _; do :; done
"""
