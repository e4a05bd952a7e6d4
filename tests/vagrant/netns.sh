# enter_netns SCRIPT ARGS…: re-runs the script inside its own network namespace, made on first use.
NETNS=${NETNS:-vagrant-lab}
enter_netns() {
  [ "${IN_NETNS:-}" = "$NETNS" ] && return 0
  ip netns list | grep -qw "$NETNS" || { ip netns add "$NETNS"; ip -n "$NETNS" link set lo up; }
  IN_NETNS=$NETNS exec ip netns exec "$NETNS" bash "$@"
}

# alive FILE NAME: whether the process of this pid file is there, and is a program of this name.
alive() { [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null && [ "$(cat /proc/"$(cat "$1")"/comm)" = "$2" ]; }
