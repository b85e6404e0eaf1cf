#!/bin/sh
# Tell the owner of REMEDY_ROW_ACCOUNT that the password expires. Never changes an account.
#
# By mail to the account, where mail or sendmail is; on each terminal where the
# account is signed in; and when there is no mail, or the account is the one that
# remedy signs in with, also in the message of the day: /run/motd.d/remedy-password-ACCOUNT.
# Such a notice names its day, is gone after a restart, and is removed by the next
# run of this script when it is older than three days: nobody can tell it that
# the password was changed.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -u

NOTICE_FOLDER=/run/motd.d
LINK_FOLDER=/etc/motd.d
PREFIX=remedy-password-
NOTICE_DAYS_MAX=3

refuse() {
    echo "$1; nobody was told" >&2
    exit 1
}

notice_text() {
    today=$(date -u +%Y-%m-%d)
    host=$(uname -n)
    case ${REMEDY_ROW_MUST_CHANGE:-false}:$days_left in
        true:*) when="must be changed at the next sign-in" ;;
        *:-*) when="expired ${days_left#-} day(s) ago" ;;
        *:0) when="expires today" ;;
        *) when="expires in $days_left day(s)" ;;
    esac
    echo "$today: the password of $account on $host $when."
    echo "Change it with the command passwd. If you have changed it since that day, this is no longer true."
    [ "$own" != true ] || echo "remedy signs in with this account; once it is expired, nothing is watched or mended here."
}

# Send the notice by mail(1) or sendmail(8); say how.
send_mail() {
    subject="Your password on $(uname -n) expires"
    if command -v mail >/dev/null 2>&1; then
        printf '%s\n' "$1" | timeout --foreground -k 2 20 mail -s "$subject" -- "$account" || return 1
        echo "sent mail to $account"
    elif command -v sendmail >/dev/null 2>&1; then
        printf 'To: %s\nSubject: %s\n\n%s\n' "$account" "$subject" "$1" |
            timeout --foreground -k 2 20 sendmail -i -- "$account" || return 1
        echo "sent mail to $account (sendmail)"
    else
        return 1
    fi
}

# Write the notice on each terminal of the account; say on which.
write_terminals() {
    command -v write >/dev/null 2>&1 || return 0
    who 2>/dev/null | account=$account awk '$1 == ENVIRON["account"] { print $2 }' | sort -u |
        while IFS= read -r terminal; do
            if printf '%s\n' "$1" | timeout --foreground -k 2 10 write "$account" "$terminal" 2>/dev/null; then
                echo "told $account on $terminal"
            fi
        done
}

# Write the notice whole or not at all; a link or folder in its place is never written through.
write_notice() {
    name=$PREFIX$account
    if [ -f "$NOTICE_FOLDER/$name" ] && [ "$(cat -- "$NOTICE_FOLDER/$name")" = "$1" ]; then
        echo "message of the day: $NOTICE_FOLDER/$name says so already"
    else
        umask 022
        mkdir -p -- "$NOTICE_FOLDER" || return 1
        rm -f -- "$NOTICE_FOLDER/.$name" &&
            printf '%s\n' "$1" >"$NOTICE_FOLDER/.$name" &&
            mv -f -T -- "$NOTICE_FOLDER/.$name" "$NOTICE_FOLDER/$name" || return 1
        echo "message of the day: wrote $NOTICE_FOLDER/$name"
    fi
    if [ -d "$LINK_FOLDER" ] && [ ! -e "$LINK_FOLDER/$name" ] && [ ! -L "$LINK_FOLDER/$name" ]; then
        ln -s -- "$NOTICE_FOLDER/$name" "$LINK_FOLDER/$name" &&
            echo "message of the day: made the link $LINK_FOLDER/$name"
    fi
    return 0
}

# Remove notices that nobody renewed, and links that lead to none.
remove_old_notices() {
    [ -d "$NOTICE_FOLDER" ] || return 0
    find "$NOTICE_FOLDER" -maxdepth 1 -type f -name "$PREFIX*" -mtime "+$NOTICE_DAYS_MAX" -exec rm -f -- {} + 2>/dev/null
    for link in "$LINK_FOLDER/$PREFIX"*; do
        if [ -L "$link" ] && [ ! -e "$link" ]; then
            rm -f -- "$link"
        fi
    done
}

account=${REMEDY_ROW_ACCOUNT:-}
days_left=${REMEDY_ROW_DAYS_LEFT:-}
own=${REMEDY_ROW_OWN:-false}

[ "$(id -u)" = 0 ] || refuse "this needs root"
case $account in
    '' | -* | .* | */* | *[!A-Za-z0-9._@-]*) refuse "'$account' is no account name" ;;
esac
id -u -- "$account" >/dev/null 2>&1 || refuse "the account $account does not exist here"
case ${days_left#-} in
    '' | *[!0-9]*) refuse "'$days_left' is no number of days" ;;
esac

remove_old_notices
text=$(notice_text)
write_terminals "$text"
if send_mail "$text"; then
    mailed=yes
else
    mailed=''
    echo "no mail was sent to $account"
fi
if [ -z "$mailed" ] || [ "$own" = true ]; then
    write_notice "$text" || {
        echo "the notice $NOTICE_FOLDER/$PREFIX$account could not be written" >&2
        [ -n "$mailed" ] || exit 1
    }
fi
exit 0
