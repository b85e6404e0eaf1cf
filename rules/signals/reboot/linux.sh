#!/bin/sh
# Whether a restart is pending, why, and for how long the machine is up. Changes nothing.
#
# Each source may say yes, no, or nothing: the flag files of Debian, Ubuntu and
# SUSE; needs-restarting of Red Hat, of which only the text counts (it ends with
# 1 for a needed restart and for any error of dnf alike); the kernels installed
# since the last start. One yes is enough. When no source can say no, `pending`
# is left empty: nobody knows. In a container the uptime is the host's and there
# is nothing to restart, so it is not applicable.

export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin

REASON_LENGTH_MAX=300

in_container() {
    [ ! -e /.dockerenv ] && [ ! -e /run/.containerenv ] && [ ! -e /run/systemd/container ] || return 0
    tr '\0' '\n' 2>/dev/null </proc/1/environ | grep -q '^container=' && return 0
    command -v systemd-detect-virt >/dev/null 2>&1 && systemd-detect-virt --container --quiet
}

reasons=''
asked=''
said_yes() {
    reasons="${reasons:+$reasons; }$1"
}
said_no() {
    asked="${asked:+$asked, }$1"
}

ask_flag_files() {
    for flag in /run/reboot-required /var/run/reboot-required; do
        [ -e "$flag" ] || continue
        packages=$(sort -u "$flag.pkgs" 2>/dev/null | tr '\n' ' ')
        packages=${packages% }
        said_yes "packages ask for it${packages:+: $packages}"
        return
    done
    if [ -e /run/reboot-needed ]; then
        said_yes "packages ask for it"
        return
    fi
    # The absence of a flag says no only where something would set it.
    for setter in /usr/share/update-notifier/notify-reboot-required /etc/kernel/postinst.d/unattended-upgrades \
        /usr/share/reboot-notifier /usr/bin/zypper; do
        if [ -e "$setter" ]; then
            said_no "the package manager's flag"
            return
        fi
    done
}

ask_needs_restarting() {
    command -v needs-restarting >/dev/null 2>&1 || return
    case $(timeout -k 2 20 needs-restarting -r 2>/dev/null </dev/null) in
        *"Reboot is required"*) said_yes "updated core packages (needs-restarting)" ;;
        *"Reboot should not be necessary"* | *"No core libraries or services have been updated"*)
            said_no "needs-restarting" ;;
    esac
}

# Say whether a newer kernel of the running flavour was installed since the start.
#
# An older installation is left alone: somebody chose to start another kernel.
# The time is that of the inode, since packages keep the time of their making.
ask_kernels() {
    running=$(uname -r)
    flavour=${running##*[-.]}
    started=$(awk '$1 == "btime" { print $2 }' /proc/stat)
    [ -n "$started" ] || return
    known=''
    newest=$running
    for image in /boot/vmlinuz-* /usr/lib/modules/*/vmlinuz; do
        [ -e "$image" ] || continue
        case $image in
            /boot/vmlinuz-*) version=${image#/boot/vmlinuz-} ;;
            *) version=${image#/usr/lib/modules/}; version=${version%/vmlinuz} ;;
        esac
        [ "$version" != "$running" ] || known=yes
        [ "${version##*[-.]}" = "$flavour" ] || continue
        changed=$(stat -c %Z -- "$image" 2>/dev/null) || continue
        [ "$changed" -gt "$started" ] || continue
        newest=$(printf '%s\n%s\n' "$newest" "$version" | sort -V | tail -n 1)
    done
    if [ "$newest" != "$running" ]; then
        said_yes "kernel $newest is installed, $running runs"
    elif [ -n "$known" ]; then
        said_no "installed kernels"
    fi
}

if in_container; then
    not_applicable "a container is restarted by its host"
    exit 0
fi

ask_flag_files
ask_needs_restarting
ask_kernels

if [ -n "$reasons" ]; then
    pending=true
    reason=$reasons
elif [ -n "$asked" ]; then
    pending=false
    reason="nothing pending, says: $asked"
else
    pending=''
    reason="nothing on this machine tells whether a restart is pending"
fi
reason=$(printf '%s' "$reason" | tr -cd '[:print:]' | cut -c "1-$REASON_LENGTH_MAX")

emit pending "$pending" uptime_days "$(awk '{ printf "%.3f", $1 / 86400 }' /proc/uptime)" reason "$reason"
exit 0
