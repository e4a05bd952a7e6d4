#!/bin/bash
# prepare.sh - what the machines need of the network: Debian 12's packages, and the box made of them.
# up.sh runs it too; alone it is for a machine that shall run the tests later, without a network.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lab.sh"
export DEBIAN_FRONTEND=noninteractive
mkdir -p "$RUN"

# The -sysv flavour keeps apt from upgrading systemd; qemu-utils is pinned to the version of qemu-system-*,
# because a newer one from backports, where it is installed, breaks the others.
need=0; for p in vagrant vagrant-libvirt libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base iptables openssh-client; do
  dpkg-query -W -f '${db:Status-Status}\n' $p 2>/dev/null | grep -qx installed || need=1; done
if [ $need = 1 ]; then
  V=$(apt-cache madison qemu-system-common | awk 'NR==1{print $3}')
  [ -n "$V" ] || { apt-get -qq update; V=$(apt-cache madison qemu-system-common | awk 'NR==1{print $3}'); }
  inst() { apt-get -o DPkg::Lock::Timeout=600 install -qq -y --allow-downgrades --no-remove --no-install-recommends -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 \
    vagrant vagrant-libvirt libvirt-daemon-system libvirt-daemon-system-sysv libvirt-clients \
    qemu-system-x86 "qemu-utils=$V" dnsmasq-base iptables openssh-client >"$RUN/apt.log" 2>&1; }
  inst || { apt-get -qq update; inst; } || { tail -20 "$RUN/apt.log" >&2; exit 1; }
fi
bash "$HERE/build-box.sh"
