#!/bin/bash
# Stores the same samples in our store, in prometheus and in victoria-metrics, and prints what a sample takes in each.
#
#   agent/benches/compare.sh [--series N] [--interval S] [--hours H] [--dir DIR] [--recording FILE.tsv.gz]
#
# Needs Debian's packages `prometheus` and `victoria-metrics` (apt-get install --no-install-recommends); what isn't
# there is left out. Their services need not run: the script starts its own, on 127.0.0.1 and in a folder of its own,
# and stops nothing else.
set -euo pipefail

series=200 interval=1 hours=12 dir=${TMPDIR:-/var/tmp} recording=()
usage() { sed -n '4s/^# *//p' "$0" >&2; exit 2; }
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
        --series) series=$2 ;;
        --interval) interval=$2 ;;
        --hours) hours=$2 ;;
        --dir) dir=$2 ;;
        --recording) recording=(--recording "$(realpath "$2")") ;;
        *) usage ;;
    esac
    shift 2
done
for number in "$series" "$interval" "$hours"; do
    [[ $number =~ ^[1-9][0-9]*$ ]] || usage
done
samples=$((hours * 3600 / interval * series))
plan=(--series "$series" --interval "$interval" --hours "$hours" "${recording[@]}")

folder=$(mktemp -d "$(realpath "$dir")/twarga-compare.XXXXXX")
victoria_pid=
stop_victoria() {
    if [ -n "$victoria_pid" ]; then
        kill "$victoria_pid" 2>/dev/null || true
        wait "$victoria_pid" 2>/dev/null || true
        victoria_pid=
    fi
}
trap 'stop_victoria; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

cd "$(dirname "$0")/../.."
bench() { cargo bench --quiet -p twarga-agent --bench store -- "$@"; }

# name, bytes
line() {
    awk -v name="$1" -v bytes="$2" -v samples="$samples" -v ours="$ours" 'BEGIN {
        printf "| %s | %.3f | %.2f |\n", name, bytes / samples, ours / bytes
    }'
}
version() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo '(not of Debian)'; }
size() { du -sb "$@" | awk '{ sum += $1 } END { print sum }'; }

ours=$(bench one "${plan[@]}" --write-only --dir "$folder" | sed -n 's/.*"file":\([0-9]*\).*/\1/p')
[ -n "$ours" ] || { echo "$0: the store's bench printed no size" >&2; exit 1; }
echo "$series series at $interval s for $hours h: $samples samples"
echo
echo "| store | B a sample | ours to it |"
echo "|---|--:|--:|"
line "ours, all in" "$ours"

prometheus() {
    bench dump "${plan[@]}" --format openmetrics >"$folder/samples.txt"
    mkdir "$folder/prometheus"
    # blocks as large as a server's compaction makes them, at most a day of them here
    if ! promtool tsdb create-blocks-from --max-block-duration=24h openmetrics "$folder/samples.txt" \
        "$folder/prometheus" >"$folder/promtool.log" 2>&1; then
        echo "$0: promtool failed:" >&2
        tail -n 5 "$folder/promtool.log" >&2
        return 1
    fi
    rm "$folder/samples.txt"
    line "prometheus $(version prometheus), blocks" "$(size "$folder"/prometheus/*/chunks "$folder"/prometheus/*/index)"
    line "– chunks without index" "$(size "$folder"/prometheus/*/chunks)"
}

# A port that nobody listens on.
free_port() {
    local port
    for _ in {1..100}; do
        port=$((20000 + RANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    echo "$0: no free port found" >&2
    return 1
}

# Waits until no file has changed for five seconds: merging goes on behind the answers.
settle() {
    local before='' now
    for _ in {1..120}; do
        sleep 5
        now=$(find "$1" -type f -printf '%p %s\n' | sort | cksum)
        [ "$now" != "$before" ] || return 0
        before=$now
    done
}

victoria() {
    local port url data=$folder/victoria
    port=$(free_port)
    url=http://127.0.0.1:$port
    victoria-metrics -storageDataPath="$data" -httpListenAddr="127.0.0.1:$port" -retentionPeriod=100y \
        -loggerLevel=WARN >"$folder/victoria.log" 2>&1 &
    victoria_pid=$!
    for _ in {1..100}; do
        if curl -fsS "$url/health" >/dev/null 2>&1; then break; fi
        if ! kill -0 "$victoria_pid" 2>/dev/null; then break; fi
        sleep 0.1
    done
    if ! curl -fsS "$url/health" >/dev/null; then
        echo "$0: victoria-metrics did not start:" >&2
        tail -n 5 "$folder/victoria.log" >&2
        return 1
    fi
    bench dump "${plan[@]}" --format prometheus |
        curl -fsS -X POST -T - "$url/api/v1/import/prometheus"
    curl -fsS "$url/internal/force_flush"
    settle "$data/data"
    local unforced
    unforced=$(size "$data/data")
    curl -fsS "$url/internal/force_merge"
    settle "$data/data"
    local stored
    stored=$(curl -fsS "$url/metrics" | awk '/^vm_rows\{type="storage\// { sum += $2 } END { printf "%d", sum }')
    if [ "$stored" != "$samples" ]; then
        echo "$0: victoria-metrics holds $stored of $samples samples" >&2
        return 1
    fi
    stop_victoria
    line "victoria-metrics $(version victoria-metrics), as it settles by itself" "$unforced"
    line "– after /internal/force_merge" "$(size "$data/data")"
    line "– with its index" "$(size "$data/data" "$data/indexdb")"
}

if command -v promtool >/dev/null; then
    prometheus
else
    echo "prometheus is not installed: apt-get install --no-install-recommends prometheus" >&2
fi
if command -v victoria-metrics >/dev/null && command -v curl >/dev/null; then
    victoria
else
    echo "victoria-metrics or curl is not installed: apt-get install --no-install-recommends victoria-metrics curl" >&2
fi
