#!/usr/bin/env bash
# Runs our peer against the peers of other implementations, over every transport and security protocol
# that both have, in both roles, under each of our drivers, and prints what came of it as Markdown.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: table.sh [--peers LIST] [--runtimes LIST] [--do CHECKS] [--size BYTES] [--timeout SECONDS] [--out FILE]

  --peers LIST        implementations at the other end: go,js (both)
  --runtimes LIST     drivers of ours: tokio,smol,async-std (all three)
  --do CHECKS         what the dialer of a cell checks (ping,identify,echo,gossip)
  --size BYTES        what the echo carries (16777216)
  --timeout SECONDS   for one cell (120)
  --out FILE          writes the table there too, if all of it was run

OURS in the environment names a built sanspeer-conformance; without it, one is built.

Exit code 0: every required cell is ok. 1: one is not. 2: the command line is wrong. 3: nothing failed,
but an implementation was skipped because its toolchain is missing.
USAGE
}

fail_usage() {
    echo "table.sh: $1" >&2
    usage >&2
    exit 2
}

peers=go,js
runtimes=tokio,smol,async-std
checks=ping,identify,echo,gossip
size=16777216
cell_timeout=120
out=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --peers | --runtimes | --do | --size | --timeout | --out)
        [ $# -ge 2 ] || fail_usage "$1 takes a value"
        case $1 in
        --peers) peers=$2 ;;
        --runtimes) runtimes=$2 ;;
        --do) checks=$2 ;;
        --size) size=$2 ;;
        --timeout) cell_timeout=$2 ;;
        --out) out=$2 ;;
        esac
        shift 2
        ;;
    *) fail_usage "unknown argument $1" ;;
    esac
done
for peer in ${peers//,/ }; do
    case $peer in go | js) ;; *) fail_usage "unknown implementation $peer" ;; esac
done
for runtime in ${runtimes//,/ }; do
    case $runtime in tokio | smol | async-std) ;; *) fail_usage "unknown runtime $runtime" ;; esac
done

interop=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

work=$(mktemp -d)
listener_pid=
stop_listener() {
    if [ -n "$listener_pid" ]; then
        kill "$listener_pid" 2>/dev/null || true
        wait "$listener_pid" 2>/dev/null || true
        listener_pid=
    fi
}
cleanup() {
    stop_listener
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

. "$interop/peers.sh"

# ---- One cell.

# The verdict: ok, or `failed: why`. Leaves the agent that the other side named in $work/agent.
verdict=
fail() {
    verdict="failed: $(printf '%s' "$1" | tr -s '[:space:]|' ' ' | cut -c 1-200)"
    stop_listener
}

# run_cell WHO_LISTENS TRANSPORT SECURITY RUNTIME PEER: we and PEER, either of which listens.
run_cell() {
    local listens=$1 transport=$2 security=$3 runtime=$4 peer=$5
    local listener dialer name=$5-$2-$3-$4-$1
    local -n other=$peer
    local security_flag=()
    # QUIC has TLS of its own.
    [ "$transport" = quic ] || security_flag=(--security "$security")
    local topic_flag=()
    case ,$checks, in *,gossip,*) topic_flag=(--topic interop) ;; esac
    if [ "$listens" = ours ]; then
        listener=("${ours[@]}" peer listen --runtime "$runtime")
        dialer=("${other[@]}" peer dial)
    else
        listener=("${other[@]}" peer listen)
        dialer=("${ours[@]}" peer dial)
    fi
    local said=$work/$name.listen got=$work/$name.dial
    : >"$said"
    # Whatever becomes of this script, no listener outlives its cell by much.
    timeout -k 5 "$((cell_timeout + 30))" "${listener[@]}" --transport "$transport" "${security_flag[@]}" \
        "${topic_flag[@]}" >"$said" 2>"$said.err" </dev/null &
    listener_pid=$!
    local address=
    for _ in $(seq 200); do
        address=$(sed -n 's/^LISTEN //p' "$said" | head -n 1)
        [ -z "$address" ] || break
        kill -0 "$listener_pid" 2>/dev/null || break
        sleep 0.1
    done
    if [ -z "$address" ]; then
        fail "the listener did not start: $(tail -n 1 "$said.err")"
        return
    fi

    local dial=("${dialer[@]}" "$address" --do "$checks" --size "$size" "${security_flag[@]}" "${topic_flag[@]}")
    [ "$listens" = ours ] || dial+=(--runtime "$runtime")
    local code=0
    timeout -k 5 "$cell_timeout" "${dial[@]}" >"$got" 2>"$got.err" </dev/null || code=$?
    if [ "$code" = 124 ]; then
        fail "not over within $cell_timeout s, after: $(tail -n 1 "$got")"
        return
    fi
    local wrong
    wrong=$(sed -n 's/^{"check":"\([^"]*\)","ok":false.*"error":"\(.*\)"}$/\1: \2/p' "$got" | head -n 1)
    if [ -n "$wrong" ] || [ "$code" != 0 ]; then
        fail "${wrong:-exit code $code, $(tail -n 1 "$got.err")}"
        return
    fi
    local check
    for check in ${checks//,/ }; do
        grep -q "^{\"check\":\"$check\",\"ok\":true" "$got" || {
            fail "no line of the check $check"
            return
        }
    done
    # The listener has identified the dialer too, whichever learned of the other first.
    local identified=
    for _ in $(seq 50); do
        identified=$(grep -m 1 '^{"event":"identified".*"agent":"[^"].*"/ipfs/ping/1.0.0"' "$said") && break
        sleep 0.1
    done
    if [ -z "$identified" ]; then
        fail "the listener has not identified the dialer"
        return
    fi
    # What each says of the other; ours is seen by them, theirs by us.
    agent_of "$identified" >"$work/agent.$([ "$listens" = ours ] && echo "$peer" || echo ours)"
    stop_listener
    verdict=ok
}

agent_of() {
    printf '%s\n' "$1" | sed -n 's/.*"agent":"\([^"]*\)".*/\1/p'
}

# ---- The table.

# requirement PEER TRANSPORT SECURITY WHO_LISTENS: required, or why a cell cannot or need not be ok.
requirement() {
    case $1-$2-$3-$4 in
    js-quic-*) echo "n/a: js-libp2p has no QUIC of its own" ;;
    # It has hung on half-closed streams there.
    js-tcp-tls-theirs) echo "optional: js-libp2p as a TLS listener" ;;
    *) echo required ;;
    esac
}

failed=0
cell() {
    local peer=$1 transport=$2 security=$3 runtime=$4 listens=$5 required
    if [ -n "${skipped[$peer]:-}" ]; then
        verdict="skipped: ${skipped[$peer]%%:*}"
        return
    fi
    required=$(requirement "$peer" "$transport" "$security" "$listens")
    case $required in
    n/a:*)
        verdict=$required
        return
        ;;
    esac
    run_cell "$listens" "$transport" "$security" "$runtime" "$peer"
    if [ "$verdict" != ok ]; then
        case $required in
        required) failed=1 ;;
        optional:*) verdict="n/a: ${required#optional: } ${verdict}" ;;
        esac
    fi
    echo "table.sh: $peer $transport $security $runtime, $listens listens: $verdict" >&2
}

declare -A implementations=([go]=go-libp2p [js]=js-libp2p) transports=([tcp]=TCP [quic]=QUIC)
declare -A securities=([noise]=Noise [tls]='TLS 1.3')

run_table() {
    echo '| Implementation | Transport | Security | Our driver | We dial | They dial |'
    echo '|---|---|---|---|---|---|'
    local peer way runtime we_dial
    for peer in ${peers//,/ }; do
        for way in 'tcp noise' 'tcp tls' 'quic tls'; do
            read -r transport security <<<"$way"
            for runtime in ${runtimes//,/ }; do
                cell "$peer" "$transport" "$security" "$runtime" theirs
                we_dial=$verdict
                cell "$peer" "$transport" "$security" "$runtime" ours
                echo "| ${implementations[$peer]} | ${transports[$transport]} | ${securities[$security]} |" \
                    "$runtime | $we_dial | $verdict |"
            done
        done
    done
}

build_ours
for peer in ${peers//,/ }; do
    "build_$peer"
    [ -z "${skipped[$peer]:-}" ] || echo "table.sh: skipped: ${skipped[$peer]}" >&2
done
# Not in a subshell, which would keep what it learned to itself.
run_table >"$work/rows"

{
    cat <<PAGE
# The table of implementations

What \`conformance/interop/table.sh\` printed. A cell is ok when the checks of the side that dials
($checks) passed, and the side that listens has seen the dialer's agent and protocols.
The echo carries $size bytes each way on one stream, written and read at once. rust-libp2p is not here,
because the tests of \`sanspeer-conformance\` have it in their own process.

PAGE
    cat "$work/rows"
    echo
    echo 'Agents, as the other side saw them:'
    echo
    [ ! -s "$work/agent.ours" ] || echo "- ours: $(cat "$work/agent.ours")"
    for peer in ${peers//,/ }; do
        if [ -s "$work/agent.$peer" ]; then
            echo "- ${implementations[$peer]}: $(cat "$work/agent.$peer") (${versions[$peer]})"
        elif [ -n "${skipped[$peer]:-}" ]; then
            echo "- ${implementations[$peer]}: skipped: ${skipped[$peer]}"
        fi
    done
} >"$work/table"
cat "$work/table"

[ "$failed" = 0 ] || exit 1
[ ${#skipped[@]} = 0 ] || exit 3
[ -z "$out" ] || cp "$work/table" "$out"
