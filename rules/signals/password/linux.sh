#!/bin/sh
# Days until the password of each local account expires. Changes nothing, prints no hash.
#
# An account whose password never expires has no row. Neither has one that has no
# usable password (locked, or none set), since nobody signs in with it; except the
# account that remedy signs in with, because an expired password shuts out keys
# as well. `days_left` is 0 on the last day and negative after it; an account that
# must change its password at the next sign-in has 0. Accounts of a directory
# (LDAP, SSSD) are not in the shadow file and have no row here.
#
# Source: shadow(5) for the fields; pam_unix and chage(1) take 10000 days for never.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

SHADOW=/etc/shadow

if [ ! -r "$SHADOW" ]; then
    echo "$SHADOW cannot be read; this needs root" >&2
    exit 1
fi

own_account=${SUDO_USER:-$(id -un)} || exit 1
seconds=$(date +%s) || exit 1

# The name comes through the environment: `awk -v` would eat its backslashes.
rows=$(own_account=$own_account today=$((seconds / 86400)) awk -F: '
    function whole(text) { return text ~ /^-?[0-9]+$/ }
    BEGIN { own_account = ENVIRON["own_account"]; today = ENVIRON["today"] }
    $1 == "" || $1 ~ /^[-+#]/ { next }
    {
        own = $1 == own_account
        usable = $2 != "" && $2 !~ /^[!*]/
        gone = whole($8) && $8 >= 0 && $8 < today
        if (!own && (!usable || gone)) next

        if ($3 == "0") {
            print $1 ":" (own ? "true" : "false") ":true:0"
            next
        }
        if ($3 == "" || $5 == "") next
        if (!whole($3) || !whole($5)) {
            print $1 ":" (own ? "true" : "false") ":false:"
            next
        }
        if ($3 < 0 || $5 < 0 || $5 >= 10000) next
        print $1 ":" (own ? "true" : "false") ":false:" ($3 + $5 - today)
    }
' "$SHADOW") || exit 1

set -f
IFS='
'
# shellcheck disable=SC2086  # One word per line is what is wanted here.
set -- $rows
unset IFS
for row in "$@"; do
    account=${row%%:*}
    row=${row#*:}
    own=${row%%:*}
    row=${row#*:}
    emit account "$account" days_left "${row#*:}" must_change "${row%%:*}" own "$own"
done
exit 0
