# Builds the peers of each implementation; for the scripts beside it, which set `interop` to this folder.
# Each function sets the words of a command that `peer …` follows, or a reason to skip it.

root=$(CDPATH='' cd -- "$interop/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$target"
target=$(CDPATH='' cd -- "$target" && pwd)

ours=()
go=()
js=()
declare -A skipped=() versions=()

build_ours() {
    local program=${OURS:-}
    if [ -z "$program" ]; then
        (cd "$root" && cargo build --quiet -p sanspeer-conformance --bin sanspeer-conformance) >&2
        program=$target/debug/sanspeer-conformance
    fi
    [ -x "$program" ] || {
        echo "${0##*/}: no program $program" >&2
        exit 1
    }
    ours=("$program")
}

build_go() {
    if ! command -v go >/dev/null 2>&1; then
        skipped[go]="Go is missing: install Go 1.25.7 or later (https://go.dev/dl)"
        return
    fi
    (cd "$interop/go" && go build -o "$target/go-peer" .) >&2
    go=("$target/go-peer")
    versions[go]=$(go env GOVERSION)
}

# Node comes from npm, pinned like the rest; the Node that runs npm may be older.
build_js() {
    if ! command -v npm >/dev/null 2>&1; then
        skipped[js]="npm is missing: install Node with npm (https://nodejs.org)"
        return
    fi
    local modules=$interop/js/node_modules
    if ! [ "$modules/.installed" -nt "$interop/js/package-lock.json" ]; then
        (cd "$interop/js" && npm ci --no-audit --no-fund --loglevel=error) >&2
        touch "$modules/.installed"
    fi
    js=("$modules/node/bin/node" "$interop/js/peer.js")
    versions[js]="Node $("${js[0]}" --version)"
}
