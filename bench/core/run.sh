#!/usr/bin/env bash
# Builds the benchmark and runs it; arguments go to it (--help lists them).
#
#   ./run.sh                 all tests, 7 repetitions (about 10 minutes)
#   ./run.sh --quick         3 short repetitions (about a minute)
set -eu
cd "$(dirname "$0")"
cargo build --release --locked >&2
mkdir -p out
exec target/release/sanspeer-bench-core --json out/latest.json "$@"
