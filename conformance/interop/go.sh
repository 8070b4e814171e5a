#!/bin/sh
# Builds the go-libp2p peer and runs the tests that talk with it, in both roles. More arguments go to
# the test program, a name for instance. Exit code 3: Go is missing.
set -eu

if ! command -v go >/dev/null 2>&1; then
    echo "go.sh: Go is missing: install Go 1.25.7 or later (https://go.dev/dl) to run the go-libp2p tests" >&2
    exit 3
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$target"
# Absolute, because cargo runs a test in the folder of its package.
target=$(CDPATH='' cd -- "$target" && pwd)

(cd "$root/conformance/interop/go" && go build -o "$target/go-peer" .)
cd "$root"
GO_PEER=$target/go-peer exec cargo test -p sanspeer-conformance --test go_libp2p --test go_libp2p_ours -- --nocapture "$@"
