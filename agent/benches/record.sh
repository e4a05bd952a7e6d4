#!/bin/bash
# Records /proc each second, as the store's benchmark replays it: agent/benches/record.sh FILE.tsv.gz [SECONDS]
# data/README.md says what the columns are. Needs awk, gzip and stat; an hour takes about a megabyte.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ] || ! [[ ${2:-3600} =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 FILE.tsv.gz [SECONDS, 3600 if not given]" >&2
    exit 2
fi
file=$1
seconds=${2:-3600}
if [ -e "$file" ]; then
    echo "$0: $file is already there; give another name or move it away" >&2
    exit 1
fi

# One reading as lines "column<TAB>value".
reading() {
    local fs=/proc/sys/fs processes
    processes=(/proc/[0-9]*)
    awk -v OFS='\t' -v disks="$disks" '
        FILENAME ~ /stat$/ && FILENAME !~ /vmstat|disk/ {
            if ($1 ~ /^cpu/) {
                split("user nice system idle iowait irq softirq steal", state, " ")
                for (i = 1; i <= 8; i++) print "stat." $1 "." state[i], $(i + 1)
            } else if ($1 == "softirq") {
                for (i = 2; i <= 12 && i <= NF; i++) print "stat.softirq." (i - 2), $i
            } else if ($1 ~ /^(intr|ctxt|processes|procs_running|procs_blocked)$/) print "stat." $1, $2
        }
        FILENAME ~ /meminfo$/ { sub(":", "", $1); if ($1 !~ /^(Huge|DirectMap|Hardware)/) print "mem." $1, $2 }
        FILENAME ~ /vmstat$/ { if ($1 ~ /^(pg|pswp|slabs|kswapd|nr_dirtied$|nr_written|workingset|compact_stall|thp_fault_alloc$|oom_kill|numa_hit)/) print "vm." $1, $2 }
        FILENAME ~ /diskstats$/ && index(disks, " " $3 " ") {
            split("reads reads_merged sectors_read ms_read writes writes_merged sectors_written ms_write inflight ms_io ms_weighted discards", name, " ")
            for (i = 1; i <= 12; i++) print "disk." $3 "." name[i], $(i + 3) + 0 == 0 ? 0 : $(i + 3)
            print "disk." $3 ".flushes", $19 == "" ? 0 : $19
        }
        FILENAME ~ /net\/dev$/ && /:/ {
            sub(":", " ")
            print "net." $1 ".rx_bytes", $2; print "net." $1 ".rx_packets", $3
            print "net." $1 ".rx_errs", $4; print "net." $1 ".rx_drop", $5
            print "net." $1 ".tx_bytes", $10; print "net." $1 ".tx_packets", $11
            print "net." $1 ".tx_errs", $12; print "net." $1 ".tx_drop", $13
        }
        FILENAME ~ /loadavg$/ {
            print "load.load1", $1; print "load.load5", $2; print "load.load15", $3
            split($4, tasks, "/"); print "load.running", tasks[1]; print "load.threads", tasks[2]
        }
        FILENAME ~ /uptime$/ { print "up.uptime", $1 }
        FILENAME ~ /pressure/ {
            resource = FILENAME; sub(".*/", "", resource)
            for (i = 2; i <= 4; i++) { split($i, pair, "="); print "psi." resource "." $1 "." pair[1], pair[2] }
        }
        FILENAME ~ /file-nr$/ { print "fs.open_files", $1 }
    ' /proc/stat /proc/meminfo /proc/vmstat /proc/diskstats /proc/net/dev /proc/loadavg /proc/uptime \
        "${pressure[@]}" "$fs/file-nr"
    stat -f -c $'fs.root.blocks\t%b\nfs.root.bfree\t%f\nfs.root.bavail\t%a\nfs.root.files\t%c\nfs.root.ffree\t%d' /
    printf 'procs.count\t%d\n' "${#processes[@]}"
}

# a kernel without PSI has none, and one that has it may refuse to read it
pressure=()
for resource in cpu io memory; do
    if cat "/proc/pressure/$resource" >/dev/null 2>&1; then pressure+=("/proc/pressure/$resource"); fi
done

# whole disks, not their partitions
disks=" $(cd /sys/block && ls | grep -Ev '^(loop|ram|sr|fd)[0-9]' | paste -s -d ' ') "

columns=$(reading | cut -f 1)
duplicates=$(sort <<<"$columns" | uniq -d)
if [ -n "$duplicates" ]; then
    echo "$0: columns of one name: $duplicates" >&2
    exit 1
fi

# the columns of the first reading stay: what goes away later keeps its last value, what comes is left out
record() {
    printf 'time\t%s\n' "$(paste -s <<<"$columns")"
    local end=$((SECONDS + seconds)) now
    while [ "$SECONDS" -lt "$end" ]; do
        printf '=\t%s\n' "$(date +%s%3N)"
        reading
        # to the next full second
        now=$(date +%N)
        sleep "0.$(printf '%09d' $((999999999 - 10#$now)))"
    done | awk -F '\t' -v OFS='\t' -v names="$columns" '
        function row(   i, line) {
            line = time
            for (i = 1; i <= count; i++) line = line OFS (name[i] in value ? value[name[i]] : 0)
            print line
        }
        BEGIN { count = split(names, name, "\n") }
        $1 == "=" { if (time) row(); time = $2; next }
        { value[$1] = $2 }
        END { if (time) row() }
    '
}

record | gzip -9 >"$file.part"
mv "$file.part" "$file"
echo "$file: $(stat -c %s "$file") bytes, $(wc -w <<<"$columns") columns"
