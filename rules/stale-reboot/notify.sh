#!/bin/sh
# Tell the users of this machine that a restart is due. Never restarts, never schedules one.
#
# The notice is /run/motd.d/remedy-reboot: what lies in /run ends with the restart
# that it asks for, so it can never outlive its truth. Where /etc/motd.d exists, a
# link there leads to it, for systems whose pam_motd(8) looks only there. Users who
# are signed in now are told with wall(1), once per notice.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -u

NOTICE_FOLDER=/run/motd.d
LINK_FOLDER=/etc/motd.d
NAME=remedy-reboot

printable() {
    printf '%s' "$1" | tr -cd '[:print:]' | cut -c 1-300
}

# Print the day of the last start; it stays the same, so that an old notice is known again.
started_on() {
    seconds=$(awk '$1 == "btime" { print $2 }' /proc/stat)
    [ -n "$seconds" ] && date -u -d "@$seconds" +%Y-%m-%d
}

notice_text() {
    echo "This machine needs a restart."
    if [ "${REMEDY_ROW_PENDING:-}" = true ]; then
        echo "Reason: $(printable "${REMEDY_ROW_REASON:-updates are waiting}")"
    else
        echo "Reason: it has not been restarted for more than ${REMEDY_PARAM_MAX_UPTIME_DAYS:-60} days"
    fi
    started=$(started_on) && echo "Running since: $started"
    echo "Please save your work and restart it when it suits you."
}

# Write the notice whole or not at all; a link or folder in its place is never written through.
write_notice() {
    umask 022
    mkdir -p -- "$NOTICE_FOLDER" || return 1
    rm -f -- "$NOTICE_FOLDER/.$NAME" &&
        printf '%s\n' "$1" >"$NOTICE_FOLDER/.$NAME" &&
        mv -f -T -- "$NOTICE_FOLDER/.$NAME" "$NOTICE_FOLDER/$NAME"
}

link_notice() {
    [ -d "$LINK_FOLDER" ] || return 0
    if [ "$(readlink -- "$LINK_FOLDER/$NAME" 2>/dev/null)" = "$NOTICE_FOLDER/$NAME" ]; then
        echo "message of the day: $LINK_FOLDER/$NAME leads to it already"
    elif [ -e "$LINK_FOLDER/$NAME" ]; then
        echo "message of the day: $LINK_FOLDER/$NAME is not ours and was left alone"
    elif ln -s -- "$NOTICE_FOLDER/$NAME" "$LINK_FOLDER/$NAME"; then
        echo "message of the day: made the link $LINK_FOLDER/$NAME"
    fi
}

tell_users() {
    if [ -z "$(who 2>/dev/null)" ]; then
        echo "nobody is signed in"
    elif ! command -v wall >/dev/null 2>&1; then
        echo "users who are signed in were not told: wall is missing"
    elif printf '%s\n' "$1" | timeout --foreground -k 2 20 wall; then
        echo "told the users who are signed in: $(who | awk '{ print $1 }' | sort -u | tr '\n' ' ')"
    else
        echo "users who are signed in were not told: wall ended badly"
    fi
}

[ "$(id -u)" = 0 ] || {
    echo "this needs root; nothing was changed" >&2
    exit 1
}

text=$(notice_text)
if [ -f "$NOTICE_FOLDER/$NAME" ] && [ "$(cat -- "$NOTICE_FOLDER/$NAME")" = "$text" ]; then
    echo "message of the day: $NOTICE_FOLDER/$NAME says so already"
    link_notice
    exit 0
fi
write_notice "$text" || {
    echo "the notice $NOTICE_FOLDER/$NAME could not be written" >&2
    exit 1
}
echo "message of the day: wrote $NOTICE_FOLDER/$NAME"
link_notice
tell_users "$text"
exit 0
