#!/usr/bin/env bash
# Runs ten peers in one topic, of ours, go-libp2p and js-libp2p, each connected with a few of the others,
# and prints what reached whom as Markdown.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: mesh.sh [--security noise|tls] [--seconds N] [--bytes N,...] [--timeout SECONDS] [--out FILE]

  --security NAME     what secures connections, which are over TCP (noise)
  --seconds N         how long messages are counted; each peer publishes one a second (300)
  --bytes N,...       how long messages are, one after the other, but none shorter than its text
                      (1,1024,65536,921600)
  --timeout SECONDS   for all peers to hear each other first (60)
  --out FILE          writes the table there too, if every cell is ok

OURS in the environment names a built sanspeer-conformance; without it, one is built.

Exit code 0: every message that was counted reached every other peer exactly once. 1: one did not. 2: the
command line is wrong. 3: a toolchain is missing.
USAGE
}

fail_usage() {
    echo "mesh.sh: $1" >&2
    usage >&2
    exit 2
}

security=noise
seconds=300
lengths=1,1024,65536,921600
patience=60
out=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --security | --seconds | --bytes | --timeout | --out)
        [ $# -ge 2 ] || fail_usage "$1 takes a value"
        case $1 in
        --security) security=$2 ;;
        --seconds) seconds=$2 ;;
        --bytes) lengths=$2 ;;
        --timeout) patience=$2 ;;
        --out) out=$2 ;;
        esac
        shift 2
        ;;
    *) fail_usage "unknown argument $1" ;;
    esac
done
case $security in noise | tls) ;; *) fail_usage "unknown security $security" ;; esac
case $seconds$patience in *[!0-9]*) fail_usage "not a number of seconds" ;; esac
[[ $lengths =~ ^[0-9]+(,[0-9]+)*$ ]] || fail_usage "not numbers of bytes: $lengths"

interop=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

work=$(mktemp -d)
pids=()
stop_peers() {
    [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    pids=()
}
cleanup() {
    stop_peers
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

. "$interop/peers.sh"

# ---- The graph: each peer, and those before it to which it connects.

peers=(
    'ours tokio'
    'go - 0'
    'js - 0 1'
    'ours smol 1 2'
    'go - 0 3'
    'js - 2 4'
    'ours async-std 3 5'
    'go - 1 6'
    'js - 5 7'
    'ours tokio 4 6 8'
)
declare -A names=([ours]=ours [go]=go-libp2p [js]=js-libp2p) securities=([noise]=Noise [tls]='TLS 1.3')

fail() {
    echo "mesh.sh: $1" >&2
    exit 1
}

addresses=()
ids=()
start_peer() {
    local at=$1 kind runtime others
    read -r kind runtime others <<<"${peers[$at]}"
    local -n program=$kind
    local command=("${program[@]}" peer listen --transport tcp --security "$security" --topic interop --message-bytes "$lengths")
    [ "$kind" != ours ] || command+=(--runtime "$runtime")
    local other
    for other in $others; do
        command+=(--connect "${addresses[$other]}")
    done
    local said=$work/$at.said address=
    : >"$said"
    # Whatever becomes of this script, no peer outlives it by much.
    timeout -k 5 "$((patience + seconds + 120))" "${command[@]}" >"$said" 2>"$said.err" </dev/null &
    pids+=($!)
    for _ in $(seq 200); do
        address=$(sed -n 's/^LISTEN //p' "$said" | head -n 1)
        [ -z "$address" ] || break
        kill -0 "${pids[$at]}" 2>/dev/null || break
        sleep 0.1
    done
    [ -n "$address" ] || fail "peer $at, $kind, did not start: $(tail -n 1 "$said.err")"
    addresses+=("$address")
    ids+=("${address##*/}")
}

# messages AT: `AUTHOR NUMBER` of everything that peer AT has printed of gossip and that is as long as it was
# published.
messages() {
    sed -n 's/^{"event":"gossip","topic":"interop","from":"\([^"]*\)","data":"\([0-9]*\)\( from [^"]*\)","bytes":\([0-9]*\)}$/\1 \2 \4 \2\3/p' \
        "$work/$1.said" |
        awk -v lengths="$lengths" '
            BEGIN { count = split(lengths, length_of, ",") }
            {
                text = $4; for (i = 5; i <= NF; i++) text = text " " $i
                bytes = length_of[$2 % count + 1]
                if (bytes < length(text)) bytes = length(text)
                if ($3 == bytes) print $1, $2
            }'
}

heard_everybody() {
    local at
    for at in "${!peers[@]}"; do
        [ "$(messages "$at" | cut -d ' ' -f 1 | sort -u | wc -l)" = "$((${#peers[@]} - 1))" ] || return 1
    done
}

alive() {
    local at
    for at in "${!peers[@]}"; do
        kill -0 "${pids[$at]}" 2>/dev/null || fail "peer $at has ended: $(tail -n 1 "$work/$at.said.err")"
    done
}

build_ours
for kind in go js; do
    "build_$kind"
    if [ -n "${skipped[$kind]:-}" ]; then
        echo "mesh.sh: ${skipped[$kind]}" >&2
        exit 3
    fi
done
for at in "${!peers[@]}"; do
    start_peer "$at"
done
waited=0
until heard_everybody; do
    alive
    [ "$waited" -lt "$patience" ] || fail "after $patience s, not every peer has heard of every other"
    sleep 1
    waited=$((waited + 1))
done

# The messages that are counted are those that are published from now on, up to the last that has reached
# everybody when the peers are stopped: the latest may be on their way.
for at in "${!peers[@]}"; do messages "$at"; done |
    sort -k 1,1 -k 2,2n | awk '{ last[$1] = $2 } END { for (a in last) print a, last[a] + 2 }' >"$work/first"
sleep "$seconds"
alive
stop_peers
for at in "${!peers[@]}"; do
    messages "$at" | sort -k 1,1 -k 2,2n | awk '{ last[$1] = $2 } END { for (a in last) print a, last[a] }'
done | sort -k 1,1 -k 2,2n | awk '!($1 in last) { last[$1] = $2 } END { for (a in last) print a, last[a] }' >"$work/last"

# ---- The table.

failed=0
enough=$((seconds * 3 / 4))
row() {
    local at=$1 kind runtime others
    read -r kind runtime others <<<"${peers[$at]}"
    # Of each other author: messages that were to come, those that did not, and those that came again.
    read -r wanted missing again few < <(messages "$at" |
        awk -v self="${ids[$at]}" -v enough="$enough" -v first="$work/first" -v last="$work/last" '
            BEGIN {
                while ((getline <first) > 0) from[$1] = $2
                while ((getline <last) > 0) to[$1] = $2
            }
            { came[$1, $2]++ }
            END {
                for (a in from) {
                    if (a == self) continue
                    if (to[a] - from[a] + 1 < enough) few++
                    for (n = from[a]; n <= to[a]; n++) {
                        wanted++
                        if (!((a, n) in came)) missing++
                    }
                }
                for (m in came) if (came[m] > 1) again++
                print wanted + 0, missing + 0, again + 0, few + 0
            }')
    # Ours say each second of whom they think ill.
    local below=-
    [ "$kind" != ours ] || below=$(grep -c '^{"event":"below_zero"' "$work/$at.said" || true)
    local verdict=ok
    [ "$below" = - ] || [ "$below" = 0 ] || few=1
    [ "$missing" = 0 ] && [ "$again" = 0 ] && [ "$few" = 0 ] || {
        verdict=failed
        failed=1
    }
    [ "$kind" != ours ] || names[ours]="ours on $runtime"
    echo "| $at | ${names[$kind]} | ${others:--} | $((wanted - missing)) of $wanted | $again | $below | $verdict |"
}

for at in "${!peers[@]}"; do
    row "$at"
done >"$work/rows"
{
    cat <<PAGE
# A mesh of implementations

What \`conformance/interop/mesh.sh\` printed. Ten peers over TCP with ${securities[$security]} are in one topic, and each
publishes once a second: messages of $lengths bytes, one after the other, but none shorter than its text of
some 60. From when all have heard each other on, for $seconds s, it is counted what each has of the messages of
the nine others, as long as they were published: all of them, each once, is ok. Signatures are strict and
scores are on; ours look once a second whether they give anybody less than zero.

PAGE
    echo '| Peer | Implementation | Connects to | Messages of the others | That came again | Scores below zero | |'
    echo '|---|---|---|---|---|---|---|'
    cat "$work/rows"
} >"$work/table"
cat "$work/table"
! grep -q '| failed |$' "$work/rows" || exit 1
[ -z "$out" ] || cp "$work/table" "$out"
