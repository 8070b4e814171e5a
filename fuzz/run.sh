#!/bin/sh
# Runs one fuzz target, or all, for so many seconds each:
#   fuzz/run.sh connection_pair 120
#   fuzz/run.sh all 60
# Ends with a table. A crash prints where its input is and makes the exit status 1.
set -u
cd "$(dirname "$0")" || exit 2

targets="multistream noise_payload certificate tls envelope yamux identify frame_reader connection_pair quic_pair gossip_rpc gossip"
toolchain="${FUZZ_TOOLCHAIN:-nightly}"

if [ $# -ne 2 ]; then
    echo "usage: run.sh TARGET|all SECONDS   (targets: $targets)" >&2
    exit 2
fi
case "$2" in
    '' | *[!0-9]* | 0) echo "run.sh: SECONDS must be a positive number, not '$2'" >&2; exit 2 ;;
esac
if [ "$1" != all ]; then
    case " $targets " in
        *" $1 "*) targets="$1" ;;
        *) echo "run.sh: no target '$1' (targets: $targets)" >&2; exit 2 ;;
    esac
fi
if ! cargo "+$toolchain" --version >/dev/null 2>&1; then
    echo "run.sh: the toolchain '$toolchain' is missing; install it: rustup toolchain install $toolchain" >&2
    exit 3
fi
if ! cargo "+$toolchain" fuzz --version >/dev/null 2>&1; then
    echo "run.sh: cargo-fuzz is missing; install it: cargo install cargo-fuzz" >&2
    exit 3
fi

log="$(mktemp)" || exit 2
table="$(mktemp)" || exit 2
trap 'rm -f "$log" "$table"' EXIT
status=0
for target in $targets; do
    mkdir -p "corpus/$target" "artifacts/$target"
    # What is found goes to the first folder; the seeds are read too.
    echo "fuzzing $target for $2 s" >&2
    if cargo "+$toolchain" fuzz run --release -s none "$target" "corpus/$target" "seeds/$target" -- \
        "-max_total_time=$2" -print_final_stats=1 -timeout=30 -rss_limit_mb=4096 \
        -max_len=2100 -len_control=20 >"$log" 2>&1; then
        result=ok
    else
        result=CRASH
        status=1
        echo "$target failed:" >&2
        grep -E -A2 "^error|panicked at|ERROR: " "$log" | head -40 >&2
        grep -E "Test unit written to" "$log" | sed 's/.*written to /  input: /' >&2
        grep -E -q "Test unit written to" "$log" || tail -20 "$log" >&2
    fi
    # "#123 DONE cov: 1 ft: 2 corp: 3/4b ..."
    last="$(grep -E '^#[0-9]+.* cov: [0-9]+ ft: [0-9]+' "$log" | tail -1)"
    field() { echo "$last" | sed -n "s/.* $1: \([0-9]*\).*/\1/p"; }
    stat() { sed -n "s/^stat::$1: *\([0-9]*\).*/\1/p" "$log" | tail -1; }
    executions="$(stat number_of_executed_units)"
    [ -n "$executions" ] || executions="$(echo "$last" | sed -n 's/^#\([0-9]*\).*/\1/p')"
    rate="$(stat average_exec_per_sec)"
    corpus="$(find "corpus/$target" -type f | wc -l | tr -d ' ')"
    printf '%-16s %12s %9s %7s %8s %8s  %s\n' "$target" "${executions:--}" "${rate:--}" \
        "$(field cov)" "$(field ft)" "$corpus" "$result" >>"$table"
done
printf '%-16s %12s %9s %7s %8s %8s  %s\n' target executions exec/s cov ft corpus result
cat "$table"
exit $status
