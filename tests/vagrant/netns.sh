# enter_netns SCRIPT ARGS…: re-runs the script inside its own network namespace, made on first use.
NETNS=${NETNS:-vagrant-lab}
enter_netns() {
  [ "${IN_NETNS:-}" = "$NETNS" ] && return 0
  ip netns list | grep -qw "$NETNS" || { ip netns add "$NETNS"; ip -n "$NETNS" link set lo up; }
  IN_NETNS=$NETNS exec ip netns exec "$NETNS" bash "$@"
}

# alive FILE NAME: whether the process of this pid file is there, and is a program of this name.  One that has ended
# stays until its parent asks, and is none.
alive() {
  [ -s "$1" ] && [ "$(cat /proc/"$(cat "$1")"/comm 2>/dev/null)" = "$2" ] || return 1
  case $(ps -o stat= -p "$(cat "$1")") in Z*) return 1 ;; esac
}
