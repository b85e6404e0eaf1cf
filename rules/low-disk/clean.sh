#!/bin/sh
# Free space on the volume mounted at REMEDY_ROW_MOUNT, from safe places only.
#
# Removed, and only where it lies on that very volume:
#   package caches       apt and dnf fetch packages again when they need them
#   archived journals    older than min_age_days
#   rotated logs         in /var/log, older than min_age_days; not audit trails and records of sign-ins
#   crash dumps          in /var/crash and /var/lib/systemd/coredump, older than min_age_days
#   temporary files      in /tmp, /var/tmp, MOUNT/tmp and MOUNT/var/tmp, neither written nor read for min_age_days
#
# Only files are removed, never folders; none that has a second name, that a process
# has open or mapped, or that lies on another mount below; no link is followed. A
# folder counts only if it belongs to root and is reached through no link: a folder
# `tmp` of a database or a user is theirs. `find -delete` works from open folders, so
# that nobody can swap one for a link under it. Nothing is written, so that a volume
# without a free byte is no hindrance (no here-documents: some shells make them files).
#
# When that is not enough it ends with what a person needs: the largest folders and
# the deleted files that are still open. Whether the fix worked, the next reading says.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -u

OPEN_FILES_MAX=20000    # Each is three words of a command line, of which the kernel takes 2 MiB.
SHOWN_MAX=10

refuse() {
    echo "$1; nothing was removed" >&2
    exit 1
}

# Print the device of the mount that holds a path, or the mount points below it.
#
# By mountinfo and not by the device of stat(2): the subvolumes of one btrfs share
# their space, and a bind mount hides behind an equal device. See proc(5).
mounts() {
    what=$1 path=$2 awk '
        function decoded(text,    parts, n, i, out) {
            gsub(/\\040/, " ", text)
            gsub(/\\011/, "\t", text)
            n = split(text, parts, /\\134/)
            out = parts[1]
            for (i = 2; i <= n; i++) out = out "\\" parts[i]
            return out
        }
        BEGIN {
            path = ENVIRON["path"]
            what = ENVIRON["what"]
            inside = path == "/" ? "/" : path "/"
        }
        {
            mount = decoded($5)
            if (what == "below" && mount != path && index(mount, inside) == 1) print mount
            stem = mount == "/" ? "/" : mount "/"
            if (index(inside, stem) == 1 && length(mount) >= length(holder)) {
                holder = mount
                device = $3
            }
        }
        END {
            if (what == "device") print device
            if (what == "holder") print holder
        }
    ' /proc/self/mountinfo
}

# Print KiB used and KiB free of the volume.
space_kib() {
    df -P -k -- "$MOUNT" | awk '
        NR > 1 && match($0, /[0-9]+ +[0-9]+ +-?[0-9]+ +(-|[0-9]+%) +\//) {
            split(substr($0, RSTART), field, / +/)
            print field[2], (field[3] < 0 ? 0 : field[3])
        }
    '
}

describe_space() {
    space_kib | awk '{ printf "%.3f GiB (%.1f %%)", $2 / 1048576, ($1 + $2 ? 100 * $2 / ($1 + $2) : 0) }'
}

still_low() {
    space_kib | percent=$BELOW_PERCENT gib=$BELOW_GIB awk '
        { low = 100 * $2 < ENVIRON["percent"] * ($1 + $2) && $2 < ENVIRON["gib"] * 1048576 }
        END { exit !low }
    '
}

# Say whether a folder may be cleaned: on this volume, root's, reached through no link.
is_safe() {
    if [ ! -d "$1" ] || [ -L "$1" ]; then return 1; fi
    [ "$(mounts device "$1")" = "$VOLUME" ] || return 1
    if [ "$(cd -P -- "$1" && pwd -P)" != "$1" ]; then
        echo "$1: left alone, it is reached through a link"
        return 1
    fi
    if [ "$(stat -c %u -- "$1")" != 0 ]; then
        echo "$1: left alone, it does not belong to root"
        return 1
    fi
}

# Print the inodes of all files that a process has open or mapped, that are swapped to, or hold a loop device.
files_in_use() {
    {
        timeout --foreground -k 2 20 find -L /proc/[0-9]*/fd -maxdepth 1 -type f -printf '%i\n' 2>/dev/null
        [ $? -lt 124 ] || echo incomplete
        cat /proc/[0-9]*/maps 2>/dev/null | awk '$5 > 0 && $6 !~ /^\/(usr|lib|lib64|bin|sbin|opt)\// { print $5 }'
        awk 'NR > 1 { print $1 }' /proc/swaps 2>/dev/null | while IFS= read -r file; do
            stat -c %i -- "$file" 2>/dev/null
        done
        cat /sys/block/loop*/loop/backing_file 2>/dev/null | while IFS= read -r file; do
            stat -c %i -- "$file" 2>/dev/null
        done
    } | sort -u
}

# Remove old files below a folder that pass the tests of find(1); say how many, and how much that freed.
#
#   remove_old WHAT FOLDER TEST...
remove_old() {
    label=$1
    folder=$2
    shift 2
    is_safe "$folder" || return 0
    if [ "$IN_USE" = unknown ]; then
        echo "$label in $folder: left alone, the open files could not be listed"
        return 0
    fi
    pattern=$(escaped "$folder")
    below=$(mounts below "$folder")
    case $below in
        *'\012'*)
            echo "$label in $folder: left alone, a mount point in it has a line break in its name"
            return 0
            ;;
    esac
    set -f
    IFS='
'
    for mount in $below; do
        mount=$(escaped "$mount")
        set -- "$@" ! -path "$mount" ! -path "$mount/*"
    done
    for inode in $IN_USE; do
        set -- "$@" ! -inum "$inode"
    done
    unset IFS
    set +f
    timeout --foreground -k 2 40 find "$folder" -mindepth 1 -xdev -type f -links 1 -mmin "+$MIN_AGE_MINUTES" \
        ! -path "$pattern/systemd-private-*" ! -path "$pattern/snap-private-tmp/*" \
        "$@" -delete -printf '%b\n' |
        label=$label folder=$folder awk '
            { files++; blocks += $1 }
            END { printf "%s in %s: %d files, %.1f MiB freed\n", ENVIRON["label"], ENVIRON["folder"], files, blocks / 2048 }
        '
}

# Print a path as a pattern of find(1) that matches only that path.
escaped() {
    printf '%s\n' "$1" | sed 's/[][*?\\]/\\&/g'
}

used_kib() {
    timeout --foreground -k 2 20 find "$1" -xdev -type f -printf '%b\n' 2>/dev/null |
        awk '{ blocks += $1 } END { printf "%.0f\n", blocks / 2 }'
}

# Let a program clean a folder of its own; say how much that freed.
#
#   let_clean WHAT FOLDER PROGRAM ARGUMENT...
let_clean() {
    label=$1
    folder=$2
    shift 2
    command -v "$1" >/dev/null 2>&1 || return 0
    is_safe "$folder" || return 0
    before=$(used_kib "$folder")
    if problem=$(timeout --foreground -k 5 30 "$@" 2>&1 >/dev/null </dev/null); then
        problem=''
    else
        problem=" ($1 ended badly: $(printf '%s' "$problem" | tail -n 1))"
    fi
    printf '%s %s %s' "$before" "$(used_kib "$folder")" "$problem" | label=$label folder=$folder awk '
        { printf "%s in %s: %.1f MiB freed", ENVIRON["label"], ENVIRON["folder"], ($1 - $2) / 1024
          sub(/^[0-9]+ [0-9]+ /, ""); print }
    '
}

# Keep the largest lines that begin with a size in KiB, in memory, and show them in MiB.
largest() {
    most=$SHOWN_MAX awk '
        BEGIN { most = ENVIRON["most"] }
        /^[0-9]+[ \t]/ {
            size = $1 + 0
            if (kept == most && size <= sizes[kept]) next
            sub(/^[0-9]+[ \t]+/, "")
            place = kept < most ? ++kept : kept
            while (place > 1 && sizes[place - 1] < size) {
                sizes[place] = sizes[place - 1]
                lines[place] = lines[place - 1]
                place--
            }
            sizes[place] = size
            lines[place] = $0
        }
        END { for (i = 1; i <= kept; i++) printf "%12.1f MiB  %s\n", sizes[i] / 1024, lines[i] }
    '
}

show_largest_folders() {
    echo "the largest folders of $MOUNT, by the files directly in them (as far as 30 s went):"
    timeout --foreground -k 2 30 du -x -k -S -- "$MOUNT" 2>/dev/null | largest
}

show_deleted_open_files() {
    device=$(stat -c %d -- "$MOUNT")
    found=$(timeout --foreground -k 2 20 find -L /proc/[0-9]*/fd -maxdepth 1 -type f -links 0 \
        -printf '%D %i %b %p\n' 2>/dev/null |
        device=$device awk '$1 == ENVIRON["device"] && !($2 in seen) { seen[$2]; printf "%.0f %s\n", $3 / 2, $4 }' |
        while read -r kib descriptor; do
            process=${descriptor#/proc/}
            process=${process%%/*}
            printf '%s process %s (%s) %s\n' "$kib" "$process" "$(cat "/proc/$process/comm" 2>/dev/null)" \
                "$(readlink "$descriptor" 2>/dev/null)"
        done | largest)
    [ -n "$found" ] || return 0
    echo "deleted files that are still open; their space is free when the process ends or restarts:"
    printf '%s\n' "$found"
}

MOUNT=${REMEDY_ROW_MOUNT:-}
BELOW_PERCENT=${REMEDY_PARAM_BELOW_PERCENT:-10}
BELOW_GIB=${REMEDY_PARAM_BELOW_GIB:-20}
MIN_AGE_MINUTES=$(days=${REMEDY_PARAM_MIN_AGE_DAYS:-} awk 'BEGIN {
    days = ENVIRON["days"]
    if (days !~ /^[0-9]+([.][0-9]+)?$/ || days < 1 || days > 36500) exit 1
    printf "%d", days * 1440
}') || refuse "min_age_days must be a number of days, at least 1"

[ "$(id -u)" = 0 ] || refuse "this needs root"
is_mount_point() {
    [ -n "$1" ] && [ "$(mounts holder "$1")" = "$1" ]
}
is_mount_point "$MOUNT" || refuse "'$MOUNT' is not a mount point"
case $(find . --version 2>/dev/null) in
    *GNU*) ;;
    *) refuse "this needs GNU find (package findutils)" ;;
esac
timeout --foreground -k 1 5 true 2>/dev/null || refuse "this needs GNU timeout (package coreutils)"

VOLUME=$(mounts device "$MOUNT")
IN_USE=$(files_in_use)
case $IN_USE in
    *incomplete*) IN_USE=unknown ;;
esac
[ "$IN_USE" = unknown ] || [ "$(printf '%s\n' "$IN_USE" | wc -l)" -le $OPEN_FILES_MAX ] || IN_USE=unknown

echo "free on $MOUNT before: $(describe_space)"

let_clean "package cache" /var/cache/apt/archives apt-get clean
let_clean "package cache" /var/cache/dnf dnf --quiet clean packages
let_clean "package cache" /var/cache/libdnf5 dnf --quiet clean packages
let_clean "package cache" /var/cache/yum yum --quiet clean packages
let_clean "archived journals" /var/log/journal journalctl --quiet "--vacuum-time=${MIN_AGE_MINUTES}min"

# Not the numbered files of a database's log, such as mysql-bin.000123.
remove_old "rotated logs" /var/log \
    '(' -name '*.gz' -o -name '*.xz' -o -name '*.bz2' -o -name '*.zst' -o -name '*.old' \
    -o -name '*.[0-9]' -o -name '*.[0-9][0-9]' -o -name '*-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]' ')' \
    ! -path '/var/log/journal/*' ! -path '/var/log/audit/*' \
    ! -name 'wtmp*' ! -name 'btmp*' ! -name 'auth.log*' ! -name 'secure*'
remove_old "crash dumps" /var/crash
remove_old "crash dumps" /var/lib/systemd/coredump

remove_old_temporary() {
    remove_old "temporary files" "$1" -amin "+$MIN_AGE_MINUTES" ! -name '*.lock' ! -name '*-lock' ! -name '*.pid'
}
remove_old_temporary /tmp
remove_old_temporary /var/tmp
case $MOUNT in
    / | /var | /tmp | /var/tmp) ;;
    *)
        remove_old_temporary "$MOUNT/tmp"
        remove_old_temporary "$MOUNT/var/tmp"
        ;;
esac

echo "free on $MOUNT after: $(describe_space)"
if still_low; then
    echo "that is still less than $BELOW_PERCENT % and $BELOW_GIB GiB"
    show_largest_folders
    show_deleted_open_files
fi
exit 0
