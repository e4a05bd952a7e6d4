#!/bin/bash
# down.sh - stops what up.sh started: machines, daemons, and nothing else.  --destroy also removes the machines,
# the box and the network.
set -u
HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/lab.sh"
. "$HERE/netns.sh"
enter_netns "$0" "$@"
export VAGRANT_CHECKPOINT_DISABLE=1
stop() { alive "$1" "$2" || return 0; local p; p=$(cat "$1"); kill "$p"; for _ in $(seq 100); do case "$(ps -o stat= -p "$p")" in ''|Z*) break;; esac; sleep 0.05; done; rm -f "$1"; echo "stopped $2 ($p)"; }
if alive "$RUN/libvirtd.pid" libvirtd; then
  cd "$P" && if [ "${1:-}" = --destroy ]; then vagrant destroy -f; else vagrant halt; fi
  if [ "${1:-}" = --destroy ]; then
    vagrant box remove tiny --all -f >/dev/null 2>&1
    for v in $(virsh -q vol-list default 2>/dev/null | awk '/^ *tiny_vagrant_box/{print $1}'); do virsh -q vol-delete --pool default "$v"; done
  fi
  virsh -q net-destroy vagrant-libvirt >/dev/null 2>&1      # ends its dnsmasq and bridge
  [ "${1:-}" = --destroy ] && virsh -q net-undefine vagrant-libvirt >/dev/null 2>&1
fi
stop "$RUN/libvirtd.pid" libvirtd
stop "$RUN/virtlogd.pid" virtlogd
exit 0
