// Command go-peer is the go-libp2p side of the interop tests. It speaks the protocols of
// conformance/interop/PROTOCOLS.md in both roles:
//
//	go-peer listen [--addr MULTIADDR] [OPTIONS]
//	go-peer dial [--timeout DURATION] [OPTIONS] MULTIADDR TASK [ARGS]
//
// The options say what the host is made of: --transport tcp|quic, --security noise|tls (over TCP),
// --psk HEX (a private network, over TCP), --key ed25519|secp256k1|ecdsa|rsa.
//
// listen prints `LISTEN <multiaddr>` and serves until its standard input closes, so that it never
// outlives the test that started it. dial runs one task as the opener, prints `RESULT ok <detail>`
// or `RESULT error <reason>`, and exits 0 or 1. A wrong command line exits 2.
//
// `go-peer peer …` is another command line, which the peers of all implementations share: peer.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// errUsage marks a fault of the command line, which says nothing about the remote.
var errUsage = errors.New("usage: go-peer listen [--addr MULTIADDR] [OPTIONS]\n" +
	"       go-peer dial [--timeout DURATION] [OPTIONS] MULTIADDR TASK [ARGS]\n" +
	"       go-peer peer listen|dial …\n" +
	"options: --transport tcp|quic, --security noise|tls, --psk HEX, --key TYPE\n" +
	"tasks: echo COUNT BYTES | checksum UP DOWN | duplex UP DOWN | reset-me | expect-reset | report")

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, errUsage)
		return 2
	}
	var err error
	switch args[0] {
	case "listen":
		err = listen(args[1:])
	case "peer":
		return runPeer(args[1:])
	case "dial":
		var detail string
		if detail, err = dial(args[1:]); err == nil {
			fmt.Println("RESULT ok " + detail)
		} else if !errors.Is(err, errUsage) {
			// One line a result, whatever the error says.
			fmt.Println("RESULT error " + strings.Join(strings.Fields(err.Error()), " "))
		}
	default:
		err = fmt.Errorf("unknown command %q\n%w", args[0], errUsage)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		return 2
	default:
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		return 1
	}
}

func listen(args []string) error {
	flags, options := newFlags("listen")
	addr := flags.String("addr", "", "address to listen on; a free port of 127.0.0.1 if empty")
	if err := flags.Parse(args); err != nil || flags.NArg() != 0 {
		return errUsage
	}
	if *addr == "" {
		*addr = anyPort(options.transport)
	}
	h, err := newHost(*options, *addr)
	if err != nil {
		return err
	}
	defer h.Close()
	serve(h)
	addrs, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(h))
	if err != nil {
		return err
	}
	if len(addrs) == 0 {
		return fmt.Errorf("no listening address for %s", *addr)
	}
	fmt.Println("LISTEN", addrs[0])
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func dial(args []string) (string, error) {
	flags, options := newFlags("dial")
	timeout := flags.Duration("timeout", 2*time.Minute, "time for the dial and the task together")
	if err := flags.Parse(args); err != nil || flags.NArg() < 2 {
		return "", errUsage
	}
	addr, err := multiaddr.NewMultiaddr(flags.Arg(0))
	if err != nil {
		return "", fmt.Errorf("%w\n%w", err, errUsage)
	}
	// The multiaddr names the expected peer; go-libp2p refuses a remote that proves another.
	remote, err := peer.AddrInfoFromP2pAddr(addr)
	if err != nil {
		return "", fmt.Errorf("%w\n%w", err, errUsage)
	}
	task, err := parseTask(flags.Args()[1:])
	if err != nil {
		return "", err
	}
	h, err := newHost(*options, "")
	if err != nil {
		return "", err
	}
	defer h.Close()
	// A remote may open streams on this connection too.
	serve(h)
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if err := h.Connect(ctx, *remote); err != nil {
		return "", fmt.Errorf("dial: %w", err)
	}
	return task(ctx, &opener{host: h, remote: remote.ID})
}

func newFlags(name string) (*flag.FlagSet, *hostOptions) {
	options := new(hostOptions)
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&options.transport, "transport", "tcp", "tcp or quic")
	flags.StringVar(&options.psk, "psk", "", "pre-shared key of a private network, 64 hexadecimal digits")
	flags.StringVar(&options.security, "security", "noise", "noise or tls")
	flags.StringVar(&options.key, "key", "ed25519", "identity: ed25519, secp256k1, ecdsa or rsa")
	return flags, options
}
