#!/bin/sh
# Free inodes of each local volume: one row per mount point. Changes nothing.
#
# Looks at the mount points that the signal `disk` looks at. File systems that
# make inodes as they need them (btrfs, vfat) have no such number and no row; a
# machine that has no other is not applicable. A volume that df cannot read has
# a row without numbers.

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

# Print total, free and free percentage of the inodes of one mount point.
#
# The name of the device may hold blanks, so the numbers are found by their form.
inodes() {
    df -P -i -- "$1" | awk '
        NR > 1 && match($0, /[0-9]+ +[0-9]+ +-?[0-9]+ +(-|[0-9]+%) +\//) {
            split(substr($0, RSTART), field, / +/)
            percent = field[1] > 0 ? sprintf("%.2f", 100 * field[3] / field[1]) : ""
            printf "%.0f %.0f %s\n", field[1], field[3], percent
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
rows=0
for mount in "$@"; do
    numbers=$(inodes "$mount")
    inodes_total=${numbers%% *}
    [ "$inodes_total" != 0 ] || continue
    numbers=${numbers#* }
    emit mount "$mount" inodes_total "$inodes_total" inodes_free "${numbers%% *}" inodes_free_percent "${numbers#* }"
    rows=$((rows + 1))
done
[ "$rows" -gt 0 ] || not_applicable "no local volume has a fixed number of inodes"
exit 0
