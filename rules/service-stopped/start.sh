#!/bin/sh
# Start the service REMEDY_ROW_SERVICE again, once. Never enables, unmasks, restarts or kills anything.
#
# Says first how it ended and what it logged, for a start may wipe that. Refused
# when it is no longer enabled, and when starting it would stop something else
# that runs (Conflicts=). Whether it stays up is for the reading afterwards to say.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -u

PROPERTIES=LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,NRestarts,Conflicts,ConflictedBy
# Longer than the 90 s in which systemd itself gives up on a start.
START_S_MAX=180
LOG_LINES_MAX=50

NEWLINE='
'

refuse() {
    echo "$1; nothing was changed" >&2
    exit 1
}

# Set `shown` to the properties of the unit as they are now.
look() {
    shown=$(timeout --foreground -k 2 20 systemctl show -p "$PROPERTIES" -- "$unit" </dev/null) || return 1
    shown=$NEWLINE$shown
}

property() {
    value=''
    case $shown in
        *"$NEWLINE$1="*)
            value=${shown#*"$NEWLINE$1="}
            value=${value%%"$NEWLINE"*}
            ;;
    esac
}

# Print the unit's state on one line.
described() {
    line=''
    for each in ActiveState SubState Result ExecMainStatus NRestarts; do
        property "$each"
        line="${line:+$line, }$each=$value"
    done
    echo "$line"
}

# Print the newest lines that the unit logged, as far as they go.
show_log() {
    command -v journalctl >/dev/null 2>&1 || return 0
    timeout --foreground -k 2 20 journalctl --quiet --no-pager --output=short-iso "--lines=$LOG_LINES_MAX" \
        "--unit=$unit" "$@" 2>/dev/null </dev/null
    return 0
}

# Print the units that run and that a start would stop.
conflicting() {
    property Conflicts
    others=$value
    property ConflictedBy
    for other in $others $value; do
        case $(timeout --foreground -k 2 20 systemctl show -p ActiveState -- "$other" </dev/null) in
            ActiveState=inactive | ActiveState=failed) ;;
            *) printf '%s ' "$other" ;;
        esac
    done
}

service=${REMEDY_ROW_SERVICE:-}
case $service in
    '' | -* | .* | *[!A-Za-z0-9:_.@\\-]*) refuse "'$service' is no name of a service" ;;
    *.service) unit=$service ;;
    *) unit=$service.service ;;
esac

[ "$(id -u)" = 0 ] || refuse "this needs root"
[ -d /run/systemd/system ] || refuse "systemd does not run here"
timeout --foreground -k 1 5 true 2>/dev/null || refuse "this needs GNU timeout (package coreutils)"
look || refuse "systemctl cannot say how $unit is"

property LoadState
[ "$value" = loaded ] || refuse "$unit cannot be started: it is ${value:-not known}"
property UnitFileState
case $value in
    enabled | enabled-runtime | generated) ;;
    *) refuse "$unit is not enabled any more: ${value:-unknown}" ;;
esac
property ActiveState
case $value in
    inactive | failed) ;;
    *)
        echo "$unit is $value; there was nothing to do"
        exit 0
        ;;
esac
stopped_by_it=$(conflicting)
[ -z "$stopped_by_it" ] || refuse "starting $unit would stop ${stopped_by_it% }"

echo "before: $(described)"
echo "what $unit logged last:"
show_log

# After too many failures in a row systemd refuses a start until they are forgotten.
systemctl reset-failed -- "$unit" </dev/null
started=$(date +%s)
timeout --foreground -k 5 "$START_S_MAX" systemctl --no-ask-password start -- "$unit" </dev/null
code=$?
look || {
    echo "started $unit; systemctl cannot say what became of it" >&2
    exit 1
}
echo "after: $(described)"
property ActiveState
if [ "$code" = 0 ] && [ "$value" = active ]; then
    echo "started $unit"
    exit 0
fi
if [ "$code" = 124 ] || [ "$code" = 137 ]; then
    echo "the start of $unit has not ended in $START_S_MAX s; systemd goes on with it" >&2
else
    echo "the start of $unit ended with $code, and it is $value" >&2
fi
echo "what $unit logged since:"
show_log "--since=@$started"
exit 1
