#!/usr/bin/env bash
# What `ringway join` moves in a second, as ratios to `socat` and `cat` on the same pair of ends, taken in turn in one run.
# Usage: [RINGWAY=PROGRAM] benches/joins.sh [MIB [ROUNDS]]. Needs socat. Build first: cargo build --release -p ringway-cli
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-256} rounds=${2:-5}
ringway=${RINGWAY:-$PWD/target/release/ringway}
for needed in "$ringway" socat; do
    command -v "$needed" >/dev/null || { echo "$needed is missing" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"
# Lines of some 60 bytes.
yes 'a line of some sixty bytes, as one would find it in a log file' | head -c $((mib << 20)) >data || true
mkfifo pipe

# Seconds until the reader, which is started first, has all; a listener is awaited by its socket.
timed() {
    local reader=$1 writer=$2 started
    rm -f socket
    bash -c "$reader" >/dev/null &
    local pid=$!
    if [[ $reader == *socket* ]]; then
        while [[ ! -S socket ]]; do sleep 0.01; done
    fi
    started=$EPOCHREALTIME
    bash -c "$writer"
    wait $pid
    awk -v from="$started" -v to="$EPOCHREALTIME" 'BEGIN { print to - from }'
}

median() { sort -g | sed -n "$(((rounds + 1) / 2))p"; }

# What it is, then the usual program's reader and writer, then those with ringway in the place of one.
compare() {
    local name=$1 round
    : >usual
    : >ours
    for ((round = 0; round < rounds; round++)); do
        timed "$2" "$3" >>usual
        timed "$4" "$5" >>ours
    done
    awk -v name="$name" -v usual="$(median <usual)" -v ours="$(median <ours)" -v mib="$mib" \
        'BEGIN { printf "%-44s %5.2f  (%.0f and %.0f MiB/s)\n", name, usual / ours, mib / ours, mib / usual }'
}

echo "rate of ringway to that of the usual program, medians of $rounds:"
j="$ringway join --quiet"
compare 'standard input to a pipe, raw; cat' \
    'cat pipe' 'cat data >pipe' 'cat pipe' "$j - fifo:pipe --framing raw <data"
compare 'a pipe to standard output, raw; cat' \
    'cat pipe | cat' 'cat data >pipe' "$j fifo:pipe - --framing raw | cat" 'cat data >pipe'
compare 'standard input to a Unix socket, raw; socat' \
    'socat -u -b262144 UNIX-LISTEN:socket -' 'socat -u -b262144 - UNIX-CONNECT:socket <data' \
    'socat -u -b262144 UNIX-LISTEN:socket -' "$j - unix:socket --framing raw <data"
compare 'a Unix socket to standard output, raw; socat' \
    'socat -u -b262144 UNIX-LISTEN:socket -' 'socat -u -b262144 - UNIX-CONNECT:socket <data' \
    "$j unix:socket,listen - --framing raw" 'socat -u -b262144 - UNIX-CONNECT:socket <data'
compare 'standard input to a Unix socket, lines; socat' \
    'socat -u -b262144 UNIX-LISTEN:socket -' 'socat -u -b262144 - UNIX-CONNECT:socket <data' \
    'socat -u -b262144 UNIX-LISTEN:socket -' "$j - unix:socket --framing lines <data"
