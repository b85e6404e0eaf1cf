#!/bin/sh
# Free space of each local volume: one row per mount point. Changes nothing.
#
# Without REMEDY_PARAM_MOUNTS: the root, and each writable volume that has a
# block device of its own or a file system that brings its own (btrfs, zfs).
# Network file systems are never touched, so a dead server cannot hang us;
# images that are always full, memory and overlays are left out. A volume that
# is mounted more than once is reported once, where its own root is mounted.
# With it: exactly those mount points, whatever they hold. One that is not
# mounted ends with 1: a volume somebody asked for is never silently absent.
# A volume that df cannot read has a row without numbers.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

# Print the mount points to look at, one a line.
#
# Fields of mountinfo: id, parent, device, root, mount point, options, optional
# fields up to a dash, type, source, options of the file system (proc(5)).
mount_points() {
    awk '
        function decoded(text,    parts, n, i, out) {
            gsub(/\\040/, " ", text)
            n = split(text, parts, /\\134/)
            out = parts[1]
            for (i = 2; i <= n; i++) out = out "\\" parts[i]
            return out
        }
        function chosen(mount) {
            if (mount == "/") return 1
            if (("," options[mount] ",") ~ /,ro,/) return 0
            if (type[mount] ~ /^(squashfs|iso9660|udf|erofs|cramfs|romfs)$/) return 0
            return device[mount] !~ /^0:/ || type[mount] ~ /^(btrfs|zfs|bcachefs)$/
        }
        # A shorter path inside the volume wins, then a shorter mount point.
        function better(mount, than) {
            if (mount == "/" || than == "/") return mount == "/"
            if (length(root[mount]) != length(root[than])) return length(root[mount]) < length(root[than])
            if (length(mount) != length(than)) return length(mount) < length(than)
            return mount < than
        }
        {
            dash = 7
            while (dash < NF && $dash != "-") dash++
            mount = decoded($5)
            device[mount] = $3      # A later mount on the same point hides the earlier one.
            root[mount] = $4
            options[mount] = $6
            type[mount] = $(dash + 1)
        }
        END {
            wanted = ENVIRON["REMEDY_PARAM_MOUNTS"]
            if (wanted != "") {
                n = split(wanted, names, "\n")
                for (i = 1; i <= n; i++) {
                    mount = names[i]
                    if (length(mount) > 1) sub(/\/+$/, "", mount)
                    if (mount == "") mount = "/"
                    if (!(mount in device)) {
                        print mount " is not a mount point here" > "/dev/stderr"
                        exit 1
                    }
                    if (!(mount in seen)) print mount
                    seen[mount] = 1
                }
                exit 0
            }
            for (mount in device) {
                if (!chosen(mount)) continue
                volume = device[mount]
                if (!(volume in best) || better(mount, best[volume])) best[volume] = mount
            }
            for (volume in best) print best[volume]
        }
    ' /proc/self/mountinfo
}

# Print size, free space and free percentage of one mount point.
#
# The name of the device may hold blanks, so the numbers are found by their form.
space() {
    df -P -k -- "$1" | awk '
        NR > 1 && match($0, /[0-9]+ +[0-9]+ +-?[0-9]+ +(-|[0-9]+%) +\//) {
            split(substr($0, RSTART), field, / +/)
            free = field[3] < 0 ? 0 : field[3]
            usable = field[2] + free
            percent = usable > 0 ? sprintf("%.2f", 100 * free / usable) : ""
            printf "%.3f %.3f %s\n", field[1] / 1048576, free / 1048576, percent
        }
    '
}

mounts=$(mount_points) || exit 1
set -f
IFS='
'
# shellcheck disable=SC2086  # One word per line is what is wanted here.
set -- $mounts
unset IFS
for mount in "$@"; do
    numbers=$(space "$mount")
    size_gib=${numbers%% *}
    numbers=${numbers#* }
    emit mount "$mount" size_gib "$size_gib" free_gib "${numbers%% *}" free_percent "${numbers#* }"
done
exit 0
