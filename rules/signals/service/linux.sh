#!/bin/sh
# Whether each named service of systemd runs: one row per service. Changes nothing.
#
# Only services in REMEDY_PARAM_NAMES, with or without `.service`: not every unit
# that is stopped is trouble. One that somebody masked or disabled, whose own
# conditions do not hold, or that a socket (path, timer) in place starts on demand,
# is not meant to run now and has no row. `running` is left empty where nobody can say:
# the service does not exist, is starting or stopping, has a job waiting, does its
# work and ends, or stopped less than REMEDY_PARAM_GRACE_S ago, as it does in an update.
#
# Source: systemd 252 for the properties and their values; older ones lack NRestarts,
# which then is left empty.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
export TZ=UTC

PROPERTIES=Id,LoadState,ActiveState,SubState,UnitFileState,Result,NRestarts,Type,RemainAfterExit,Job
PROPERTIES=$PROPERTIES,ConditionResult,ConditionTimestamp,ActiveEnterTimestamp,InactiveEnterTimestamp
PROPERTIES=$PROPERTIES,WantedBy,RequiredBy,TriggeredBy
REASON_LENGTH_MAX=300

NEWLINE='
'

# Print the unit of a service's name, or nothing when it is no name of a service.
unit_of() {
    case $1 in
        '' | -* | .* | *[!A-Za-z0-9:_.@\\-]*) ;;
        *.service) echo "$1" ;;
        *.socket | *.target | *.timer | *.path | *.mount | *.automount | *.swap | *.slice | *.scope | *.device) ;;
        *) echo "$1.service" ;;
    esac
}

# Set `value` to a property of the unit that is shown; a property that systemd does not know is empty.
property() {
    value=''
    case $shown in
        *"$NEWLINE$1="*)
            value=${shown#*"$NEWLINE$1="}
            value=${value%%"$NEWLINE"*}
            ;;
    esac
}

# Print how many seconds ago a time such as `Sun 2026-11-22 16:45:37 UTC` was; nothing when that makes no sense.
age_s() {
    moment=${1#* }
    moment=$(date -d "${moment% UTC}" +%s 2>/dev/null) || return
    now=$(date +%s)
    [ "$moment" -gt "$now" ] || echo $((now - moment))
}

# Print how many seconds ago the unit stopped; one that never ran has been stopped since the machine started.
stopped_s() {
    property InactiveEnterTimestamp
    case $value in
        *[0-9]*) age_s "$value" ;;
        *) awk '{ printf "%d\n", $1 }' /proc/uptime ;;
    esac
}

is_on_demand() {
    property TriggeredBy
    [ -n "$value" ] || return 1
    # shellcheck disable=SC2086  # Names of units hold no blanks.
    timeout -k 2 10 systemctl is-active --quiet -- $value </dev/null
}

# Say why the unit that is shown is not meant to run now; say nothing when it is.
decided_reason() {
    property LoadState
    [ "$value" != masked ] || { echo "is masked"; return; }
    property UnitFileState
    case $value in
        masked*) echo "is masked" ;;
        disabled) echo "is disabled" ;;
        generated)
            # A script of SysV init: enabled where a runlevel wants it.
            property WantedBy
            wanted=$value
            property RequiredBy
            [ -n "$wanted$value" ] || echo "is disabled"
            ;;
    esac
}

idle_reason() {
    property ConditionTimestamp
    case $value in
        *[0-9]*)
            property ConditionResult
            [ "$value" != no ] || { echo "has conditions that do not hold"; return; }
            ;;
    esac
    is_on_demand && echo "is started on demand"
}

left_out=''
leave_out() {
    left_out="${left_out:+$left_out; }$1 $2"
}

# Emit the row of one service, or leave it out.
look_at() {
    name=$1
    decided=$(decided_reason)
    [ -z "$decided" ] || { leave_out "$name" "$decided"; return; }

    property UnitFileState
    case $value in
        enabled | enabled-runtime | generated) enabled=true ;;
        *) enabled='' ;;
    esac
    property SubState
    sub=$value
    property ActiveState
    active=$value
    state="$active ($sub)"
    running_s=''
    case $active in
        active | reloading | refreshing)
            running=true
            property ActiveEnterTimestamp
            running_s=$(age_s "$value")
            ;;
        inactive | failed)
            running=false
            not_running || return
            ;;
        *) running='' ;;
    esac
    property Type
    type=$value
    property RemainAfterExit
    if [ "$type:$value" = oneshot:no ]; then
        running=''
        state="$state, does its work and ends"
    fi
    property NRestarts
    restarts=$value
    property Result
    emit service "$name" running "$running" enabled "$enabled" state "$state" result "$value" \
        running_s "$running_s" restarts "$restarts"
    rows=$((rows + 1))
}

# Look closer at a unit that does not run; fail when it is not meant to and was left out.
not_running() {
    property LoadState
    if [ "$value" != loaded ]; then
        state="$value"
        [ "$value" != not-found ] || running=''
        return 0
    fi
    property Job
    if [ -n "$value" ] && [ "$value" != 0 ]; then
        running=''
        state="$state, a job is waiting"
        return 0
    fi
    if [ "$active" = inactive ]; then
        idle=$(idle_reason)
        [ -z "$idle" ] || { leave_out "$name" "$idle"; return 1; }
    fi
    stopped=$(stopped_s)
    if [ -z "$stopped" ] || [ "$stopped" -lt "$grace_s" ]; then
        running=''
        state="$state, since less than $grace_s s"
    fi
}

grace_s=${REMEDY_PARAM_GRACE_S:-300}
case $grace_s in
    *[!0-9]*)
        echo "grace_s must be a whole number of seconds" >&2
        exit 1
        ;;
esac
[ -n "${REMEDY_PARAM_NAMES:-}" ] || not_applicable "no services are named (parameter names of the signal service)"
if [ ! -d /run/systemd/system ] || ! command -v systemctl >/dev/null 2>&1; then
    echo "systemd does not run here, so nobody can say whether the named services do" >&2
    exit 1
fi

set -f
IFS=$NEWLINE
# shellcheck disable=SC2086  # One word per line is what is wanted here.
set -- $REMEDY_PARAM_NAMES
unset IFS
rows=0
seen=' '
for named in "$@"; do
    unit=$(unit_of "$named")
    if [ -z "$unit" ]; then
        printf "'%s' is no name of a service\n" "$named" >&2
        exit 1
    fi
    shown=$(timeout -k 2 10 systemctl show -p "$PROPERTIES" -- "$unit" </dev/null) || exit 1
    shown=$NEWLINE$shown
    property Id
    if [ -z "$value" ]; then
        echo "systemctl said nothing about $unit" >&2
        exit 1
    fi
    # Two names may lead to one unit: ssh and sshd, nginx and nginx.service.
    case $seen in
        *" $value "*) continue ;;
    esac
    seen="$seen$value "
    look_at "$named"
done
if [ "$rows" = 0 ]; then
    not_applicable "$(printf '%s' "none of the named services is meant to run now: $left_out" |
        cut -c "1-$REASON_LENGTH_MAX")"
fi
exit 0
