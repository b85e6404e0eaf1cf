#!/bin/sh
# Days until each certificate expires: one row per certificate in a file. Changes nothing, prints no key.
#
# Without REMEDY_PARAM_PATHS: the places in which certbot, kubeadm, kubelet, Cockpit
# and the packages of Red Hat keep the certificates that a machine serves; a machine
# that has none is not applicable. With it: exactly those files (PEM), where patterns
# are those of the shell. What was named and cannot be read, matches nothing, or holds
# no certificate has a row without days: it is never silently absent.
# Every certificate of a bundle has a row; `days_left` is negative once it has expired.
#
# It reads what lies on the disk. Whether a service was told of a new file is not seen here.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

WELL_KNOWN='/etc/letsencrypt/live/*/fullchain.pem
/etc/kubernetes/pki/*.crt
/etc/kubernetes/pki/etcd/*.crt
/var/lib/kubelet/pki/*-current.pem
/etc/cockpit/ws-certs.d/*.crt
/etc/cockpit/ws-certs.d/*.cert
/etc/pki/tls/certs/localhost.crt
/etc/pki/tls/certs/postfix.pem'
FILE_BYTES_MAX=1048576
SUBJECT_LENGTH_MAX=1000

NEWLINE='
'

rows=0
unknown() {
    emit path "$1" subject "($2)" serial - days_left '' lifetime_days ''
    rows=$((rows + 1))
}

# Print the certificates of a file, one a line, as base64 with a blank between their lines.
blocks_of() {
    awk '
        { sub(/[ \t\r]+$/, "") }
        /^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----$/ { inside = 1; kind = $0; text = ""; next }
        /^-----END (X509 |TRUSTED )?CERTIFICATE-----$/ && inside {
            sub(/BEGIN/, "END", kind)
            print (kind == $0 ? text : "") " " (kind ~ /TRUSTED/ ? "TRUSTED " : "") "CERTIFICATE"
            inside = 0
            next
        }
        /^-----BEGIN / { if (inside) print " CERTIFICATE"; inside = 0; next }
        inside { text = text (text == "" ? "" : "|") $0 }
        END { if (inside) print " CERTIFICATE" }
    ' "$1"
}

# Print what openssl says of one certificate in the form that blocks_of has.
described() {
    printf '%s\n' "$1" | awk '{
        kind = $0; sub(/^[^ ]* /, "", kind)
        text = $1; gsub(/[|]/, "\n", text)
        if (NF < 2 || $1 == "CERTIFICATE") exit
        print "-----BEGIN " kind "-----\n" text "\n-----END " kind "-----"
    }' | openssl x509 -noout -nameopt RFC2253 -serial -startdate -enddate -subject 2>/dev/null
}

# Turn what openssl says into: end, start, serial, subject; both times in seconds.
#
# The times look like `Nov  2 16:37:59 2027 GMT`; one that does not gives nothing.
numbered() {
    awk '
        function day_number(year, month, day,    era, of_era, of_year) {
            if (month <= 2) year--
            era = int(year / 400)
            of_era = year - era * 400
            of_year = int((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
            return era * 146097 + of_era * 365 + int(of_era / 4) - int(of_era / 100) + of_year - 719468
        }
        function moment(text,    part, clock, month) {
            if (split(text, part, / +/) != 5 || part[5] != "GMT" || split(part[3], clock, /:/) != 3) return ""
            month = index("JanFebMarAprMayJunJulAugSepOctNovDec", part[1])
            if (month % 3 != 1 || part[2] !~ /^[0-9]+$/ || part[4] !~ /^[0-9]+$/) return ""
            return day_number(part[4], (month + 2) / 3, part[2]) * 86400 + clock[1] * 3600 + clock[2] * 60 + clock[3]
        }
        /^serial=/ { serial = substr($0, 8) }
        /^notBefore=/ { start = moment(substr($0, 11)) }
        /^notAfter=/ { end = moment(substr($0, 10)) }
        /^subject=/ { subject = substr($0, 9) }
        END {
            if (serial == "" || end == "" || start == "") exit
            printf "%.0f %.0f %s %s\n", end, start, serial, subject == "" ? "(no subject)" : subject
        }
    '
}

# Emit a row for each certificate of a file.
look_at() {
    path=$1
    if [ -d "$path" ] || [ ! -e "$path" ]; then
        unknown "$path" "there is no such file"
        return
    fi
    if [ ! -f "$path" ] || [ ! -r "$path" ]; then
        unknown "$path" "cannot be read"
        return
    fi
    if [ "$(stat -L -c %s -- "$path")" -gt "$FILE_BYTES_MAX" ]; then
        unknown "$path" "larger than $FILE_BYTES_MAX bytes"
        return
    fi
    blocks=$(blocks_of "$path") || { unknown "$path" "cannot be read"; return; }
    [ -n "$blocks" ] || { unknown "$path" "no certificate in PEM form"; return; }
    lines=''
    number=0
    IFS=$NEWLINE
    for block in $blocks; do
        unset IFS
        number=$((number + 1))
        line=$(described "$block" | numbered)
        if [ -n "$line" ]; then
            lines=$lines$line$NEWLINE
        else
            unknown "$path" "certificate $number cannot be read"
        fi
    done
    unset IFS
    # The same certificate may stand there twice; of two with one serial the one that ends first counts.
    lines=$(printf '%s' "$lines" | sort -n | awk '{
        key = $0; sub(/^[^ ]+ [^ ]+ /, "", key)
        if (!(key in seen)) print
        seen[key]
    }')
    IFS=$NEWLINE
    for line in $lines; do
        unset IFS
        emit_line "$line"
    done
    unset IFS
}

emit_line() {
    end=${1%% *}
    rest=${1#* }
    start=${rest%% *}
    rest=${rest#* }
    subject=$(printf '%s' "${rest#* }" | cut -c "1-$SUBJECT_LENGTH_MAX")
    numbers=$(end=$end start=$start now=$now awk 'BEGIN {
        printf "%.2f %.2f", (ENVIRON["end"] - ENVIRON["now"]) / 86400, (ENVIRON["end"] - ENVIRON["start"]) / 86400
    }')
    emit path "$path" subject "$subject" serial "${rest%% *}" days_left "${numbers% *}" lifetime_days "${numbers#* }"
    rows=$((rows + 1))
}

if [ "$(id -u)" != 0 ]; then
    echo "this needs root: keys and their certificates often lie in folders of root's" >&2
    exit 1
fi
now=$(date +%s) || exit 1
wanted=${REMEDY_PARAM_PATHS:-$WELL_KNOWN}

# With no separator, a pattern below is expanded and never split at blanks.
files=''
set -f
IFS=$NEWLINE
# shellcheck disable=SC2086  # One pattern per line is what is wanted here.
set -- $wanted
set +f
for pattern in "$@"; do
    case $pattern in
        /*) ;;
        *)
            echo "'$pattern' is no absolute path" >&2
            exit 1
            ;;
    esac
    if [ -e "$pattern" ]; then
        files=$files$pattern$NEWLINE
        continue
    fi
    IFS=''
    matched=''
    # shellcheck disable=SC2231  # The pattern is meant as one.
    for file in $pattern; do
        if [ -e "$file" ] || [ -L "$file" ]; then
            files=$files$file$NEWLINE
            matched=yes
        fi
    done
    if [ -z "$matched" ] && [ -n "${REMEDY_PARAM_PATHS:-}" ]; then
        unknown "$pattern" "there is no such file"
    fi
done
if [ "$rows" = 0 ] && [ -z "$files" ]; then
    not_applicable "there is no certificate in the well-known places, and none is named (parameter paths of the signal certificate)"
fi
if [ -n "$files" ] && ! command -v openssl >/dev/null 2>&1; then
    echo "openssl is missing here, so no certificate can be read" >&2
    exit 1
fi

set -f
IFS=$NEWLINE
# shellcheck disable=SC2086  # One file per line is what is wanted here.
# shellcheck disable=SC2046  # One file per line is what is wanted here.
set -- $(printf '%s' "$files" | awk '!($0 in seen) { print; seen[$0] }')
unset IFS
for file in "$@"; do
    look_at "$file"
done
exit 0
