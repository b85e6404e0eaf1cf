#!/bin/sh
# Whether something keeps this machine's clock right, and how far off it is. Changes nothing.
#
# Asked are chrony, then systemd-timesyncd, then the kernel, which only knows
# whether somebody keeps it (so for other services `offset_s` is left empty).
# `offset_s` is positive where this clock is ahead. In the first minutes after a
# start nobody is expected to be synchronised, so `synchronised` is left empty.
# A container has the clock of its host, so there it is not applicable.
#
# Source: measured with chrony 4.3 and systemd 252. `chronyc -c tracking` gives the
# correction that is left, negative where the clock is fast; timedatectl the way from
# here to the server, which has the same sign.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

START_S=900

in_container() {
    [ ! -e /.dockerenv ] && [ ! -e /run/.containerenv ] && [ ! -e /run/systemd/container ] || return 0
    tr '\0' '\n' 2>/dev/null </proc/1/environ | grep -q '^container=' && return 0
    command -v systemd-detect-virt >/dev/null 2>&1 && systemd-detect-virt --container --quiet
}

# Print the hours since a time in seconds; nothing when it lies ahead: the clock was set back since.
hours_since() {
    then_s=$1 now_s=$(date +%s) awk 'BEGIN {
        age = ENVIRON["now_s"] - ENVIRON["then_s"]
        if (age > -2) printf "%.3f\n", age < 0 ? 0 : age / 3600
    }'
}

# Fields: reference as hex, its name, stratum, time of the last answer, correction left, ..., leap status.
ask_chrony() {
    command -v chronyc >/dev/null 2>&1 || return 1
    said=$(timeout -k 2 10 chronyc -c tracking 2>/dev/null </dev/null) || return 1
    said=$(printf '%s\n' "$said" | awk -F, '
        NF < 14 || $4 !~ /^[0-9]+([.][0-9]+)?$/ || $5 !~ /^-?[0-9]+([.][0-9]+)?$/ { next }
        # 7F7F0101 is the clock itself, for want of a server.
        $1 == "7F7F0101" || $NF == "Not synchronised" || $4 == 0 { print "false - -"; exit }
        $NF !~ /^(Normal|Insert second|Delete second)$/ { next }
        { printf "true %.6f %s\n", $5 == 0 ? 0 : -$5, $4; exit }
    ')
    [ -n "$said" ] || return 1
    source=chrony
    take "$said"
}

ask_timesyncd() {
    # Without it running, timedatectl would wait for 25 s.
    command -v timedatectl >/dev/null 2>&1 &&
        timeout -k 2 10 systemctl is-active --quiet systemd-timesyncd.service 2>/dev/null </dev/null || return 1
    said=$(timeout -k 2 10 timedatectl timesync-status 2>/dev/null </dev/null) || return 1
    said=$(printf '%s\n' "$said" | awk '
        # Seconds of a span such as 1min 3.5s, nothing when it is none.
        function seconds(span,    n, parts, i, sum, unit) {
            n = split(span, parts, / +/)
            for (i = 1; i <= n; i++) {
                if (parts[i] == "0") continue
                if (!match(parts[i], /^[0-9]+([.][0-9]+)?/)) return ""
                unit = substr(parts[i], RLENGTH + 1)
                if (!(unit in length_of)) return ""
                sum += substr(parts[i], 1, RLENGTH) * length_of[unit]
            }
            return n ? sum + 0 : ""
        }
        BEGIN {
            length_of["us"] = 0.000001; length_of["ms"] = 0.001; length_of["s"] = 1
            length_of["min"] = 60; length_of["h"] = 3600; length_of["d"] = 86400
            length_of["w"] = 604800; length_of["month"] = 2629800; length_of["y"] = 31557600
        }
        { at = index($0, ": "); name = substr($0, 1, at - 1); sub(/^ +/, "", name); text = substr($0, at + 2) }
        name == "Leap" { leap = text }
        name == "Packet count" { count = text }
        name == "Offset" && text ~ /^[-+]/ { sign = substr(text, 1, 1); offset = seconds(substr(text, 2)) }
        END {
            if (count == "") exit
            if (leap == "" || leap == "not synchronized") { print "false - -"; exit }
            # The first answer sets the clock, so it says how far off it was, not how far it is.
            if (count == 1 || offset == "") { print "true - -"; exit }
            if (offset != 0 && sign == "+") offset = -offset
            printf "true %.6f -\n", offset
        }
    ')
    [ -n "$said" ] || return 1
    source=systemd-timesyncd
    # It touches this file whenever it has corrected the clock.
    corrected=$(stat -c %Y /run/systemd/timesync/synchronized 2>/dev/null)
    case $said in
        true*) said="${said% *} ${corrected:--}" ;;
    esac
    take "$said"
}

ask_kernel() {
    command -v timedatectl >/dev/null 2>&1 || return 1
    case $(timeout -k 2 10 timedatectl show -p NTPSynchronized 2>/dev/null </dev/null) in
        NTPSynchronized=yes) take "true - -" ;;
        NTPSynchronized=no) take "false - -" ;;
        *) return 1 ;;
    esac
    source="the kernel"
}

# Take the words SYNCHRONISED OFFSET TIME, where - means unknown.
take() {
    synchronised=${1%% *}
    since_h=${1##* }
    offset_s=${1#* }
    offset_s=${offset_s% *}
    [ "$offset_s" != - ] || offset_s=''
    [ "$since_h" != - ] || since_h=''
    [ -z "$since_h" ] || since_h=$(hours_since "$since_h")
}

if in_container; then
    not_applicable "a container has the clock of its host"
fi
ask_chrony || ask_timesyncd || ask_kernel || {
    echo "neither chrony nor systemd-timesyncd nor timedatectl answers, so nobody can say whether the clock is right" >&2
    exit 1
}
if [ "$synchronised" = false ] && [ "$(awk '{ printf "%d", $1 }' /proc/uptime)" -lt "$START_S" ]; then
    synchronised=''
fi
emit source "$source" synchronised "$synchronised" offset_s "$offset_s" since_sync_h "$since_h"
exit 0
