#!/bin/bash
# Runs a command as root in user-mode Linux: a Linux kernel with netem that is an ordinary process of yours.
# For machines whose own kernel lacks netem, or where you are not root. From this directory's parent:
#
#   bench/user-mode-linux.sh .venv/bin/honeybadger local -n 4 --wan two-regions
#
# Debian's packages user-mode-linux, kmod and iproute2 are needed. The command sees your files, has one processor and
# much slower system calls; /tmp is its own, in memory, and gone afterwards. UML_MEMORY (3G) is how much it gets.
set -euo pipefail

fail() {
    echo "error: $*" >&2
    exit 2
}

(($#)) || fail "which command? For example: $0 .venv/bin/honeybadger local -n 4 --wan two-regions"
linux=$(command -v linux.uml || command -v linux) || fail "there is no user-mode Linux (Debian: package user-mode-linux)"
insmod=$(PATH=$PATH:/usr/sbin:/sbin command -v insmod) || fail "there is no insmod (Debian: package kmod)"
modules=$(printf '%s\n' /usr/lib/uml/modules/*/kernel | tail -1)
[ -e "$modules/net/sched/sch_netem.ko" ] || fail "user-mode Linux has no netem in $modules"

work=$(mktemp -d "$PWD/.user-mode-linux.XXXXXX")
trap 'rm -rf "$work"' EXIT
{
    echo '#!/bin/bash'
    echo 'PATH='"$(printf %q "$PATH")"':/usr/sbin:/sbin'
    echo 'export PATH HOME=/tmp'
    [ -z "${PYTHONPATH:-}" ] || echo "export PYTHONPATH=$(printf %q "$PYTHONPATH")"
    echo 'mount -t proc proc /proc; mount -t sysfs sys /sys'
    echo 'for place in /tmp /run /dev/shm; do [ -d $place ] && mount -t tmpfs tmpfs $place; done'
    # In the order in which they need each other.
    for name in lib/crc-ccitt net/ipv6/ipv6 net/llc/llc net/802/stp net/bridge/bridge drivers/net/veth \
        net/sched/sch_netem net/sched/sch_htb net/sched/cls_u32; do
        echo "$insmod $(printf %q "$modules/$name.ko")"
    done
    echo 'ip link set lo up'
    echo "cd $(printf %q "$PWD")"
    echo "$(printf '%q ' "$@") </dev/null"
    echo "echo \$? > $(printf %q "$work/status")"
    echo 'sync; poweroff -f'
} > "$work/init"
chmod +x "$work/init"
# Words of the kernel itself are left out; the command's own output comes through.
"$linux" "mem=${UML_MEMORY:-3G}" root=/dev/root rootfstype=hostfs rootflags=/ rw "init=$work/init" \
    con=null con0=null,fd:1 con1=null quiet loglevel=0 </dev/null
[ -s "$work/status" ] || fail "user-mode Linux ended before the command did"
exit "$(cat "$work/status")"
