#!/bin/bash
# prepare.sh - what the machines need: of the host, that it lets us make networks; of the network, Debian 12's
# packages, and the box made of them.  up.sh runs it too; alone it is for a host that shall run the tests later.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lab.sh"
export DEBIAN_FRONTEND=noninteractive
mkdir -p "$RUN"

refuse() { echo "prepare.sh: $1: no machines can run here" >&2; exit 1; }
unshare --net true 2>/dev/null || refuse "no network namespace can be made"
[ -c /dev/net/tun ] || { mkdir -p /dev/net && mknod -m 0666 /dev/net/tun c 10 200; } || refuse "there is no /dev/net/tun"
(exec 3<>/dev/net/tun) 2>/dev/null || refuse "/dev/net/tun can't be opened"

# The -sysv flavour keeps apt from upgrading systemd; qemu-utils is pinned to the version of qemu-system-*,
# because a newer one from backports, where it is installed, breaks the others.
need=0; for p in vagrant vagrant-libvirt libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base iptables iproute2 openssh-client; do
  dpkg-query -W -f '${db:Status-Status}\n' $p 2>/dev/null | grep -qx installed || need=1; done
if [ $need = 1 ]; then
  V=$(apt-cache madison qemu-system-common | awk 'NR==1{print $3}')
  [ -n "$V" ] || { apt-get -qq update; V=$(apt-cache madison qemu-system-common | awk 'NR==1{print $3}'); }
  inst() { apt-get -o DPkg::Lock::Timeout=600 install -qq -y --allow-downgrades --no-remove --no-install-recommends -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 \
    vagrant vagrant-libvirt libvirt-daemon-system libvirt-daemon-system-sysv libvirt-clients \
    qemu-system-x86 "qemu-utils=$V" dnsmasq-base iptables iproute2 openssh-client >"$RUN/apt.log" 2>&1; }
  inst || { apt-get -qq update; inst; } || { tail -20 "$RUN/apt.log" >&2; exit 1; }
fi
bash "$HERE/build-box.sh"
