package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/multiformats/go-multiaddr"
)

// The command line that the peers of all implementations share (conformance/interop/PROTOCOLS.md):
//
//	peer listen --transport tcp|quic --security noise|tls [--topic T] [--message-bytes N,...] [--connect ADDR]...
//	peer dial ADDR --do ping,identify,echo[,gossip,kad] [--size BYTES] [--security noise|tls] [--topic T]
//
// listen prints `LISTEN <multiaddr>`, then one line of JSON an event, and serves until it gets SIGINT or
// SIGTERM. dial prints one line of JSON a check, and exits 0 only if all passed. A wrong command line
// exits 2.
var errPeerUsage = errors.New("usage: go-peer peer listen [--transport tcp|quic] [--security noise|tls] [--topic T] [--message-bytes N,...] [--connect ADDR]...\n" +
	"       go-peer peer dial ADDR --do ping,identify,echo[,gossip,kad] [--size BYTES] [--security noise|tls] [--topic T]")

const (
	defaultTopic = "interop"
	// checkTimeout is the time for the dial, and for each check.
	checkTimeout = time.Minute
)

func runPeer(args []string) int {
	command := ""
	if len(args) > 0 {
		command = args[0]
	}
	passed := true
	var err error
	switch command {
	case "listen":
		err = peerListen(args[1:])
	case "dial":
		passed, err = peerDial(args[1:])
	default:
		err = fmt.Errorf("unknown command %q\n%w", command, errPeerUsage)
	}
	switch {
	case errors.Is(err, errPeerUsage), errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		return 2
	case err != nil:
		fmt.Fprintln(os.Stderr, "go-peer:", err)
		return 1
	case !passed:
		return 1
	default:
		return 0
	}
}

func peerListen(args []string) error {
	flags := newPeerFlags("peer listen")
	flags.StringVar(&flags.options.transport, "transport", "tcp", "tcp or quic")
	var connect []*peer.AddrInfo
	flags.Func("connect", "peer to connect to, once it listens; any number of times", func(text string) error {
		remote, err := peer.AddrInfoFromString(text)
		connect = append(connect, remote)
		return err
	})
	var lengths []int
	flags.Func("message-bytes", "how long published messages are, one after the other", func(text string) error {
		for part := range strings.SplitSeq(text, ",") {
			length, err := strconv.ParseUint(part, 10, 31)
			if err != nil {
				return err
			}
			lengths = append(lengths, int(length))
		}
		return nil
	})
	if err := flags.Parse(args); err != nil || flags.NArg() != 0 {
		return errPeerUsage
	}
	h, err := newHost(flags.options, anyPort(flags.options.transport))
	if err != nil {
		return err
	}
	defer h.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	lines := new(jsonLines)
	serveEchoWithEvents(h, lines)
	if err := reportPeers(ctx, h, lines); err != nil {
		return err
	}
	if flags.topic != "" {
		if _, err := joinGossip(ctx, h, flags.topic, lengths, lines); err != nil {
			return err
		}
	}
	addrs, err := peer.AddrInfoToP2pAddrs(host.InfoFromHost(h))
	if err != nil {
		return err
	}
	if len(addrs) == 0 {
		return fmt.Errorf("no listening address for %s", flags.options.transport)
	}
	lines.raw("LISTEN " + addrs[0].String())
	for _, remote := range connect {
		if err := h.Connect(ctx, *remote); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
	}
	<-ctx.Done()
	return nil
}

func peerDial(args []string) (bool, error) {
	flags := newPeerFlags("peer dial")
	todo := flags.String("do", "ping,identify,echo", "checks, in their order")
	size := flags.Uint64("size", 16<<20, "bytes of the echo")
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return false, errPeerUsage
	}
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() != 0 {
		return false, errPeerUsage
	}
	addr, err := multiaddr.NewMultiaddr(args[0])
	if err != nil {
		return false, fmt.Errorf("%w\n%w", err, errPeerUsage)
	}
	remote, err := peer.AddrInfoFromP2pAddr(addr)
	if err != nil {
		return false, fmt.Errorf("%w\n%w", err, errPeerUsage)
	}
	checks, err := parseChecks(*todo)
	if err != nil {
		return false, err
	}
	flags.options.transport = transportOf(addr)
	h, err := newHost(flags.options, "")
	if err != nil {
		return false, err
	}
	defer h.Close()
	// A remote may open streams on this connection too; what it does is not this side's to print.
	lines := new(jsonLines)
	serveEchoWithEvents(h, nil)
	run := &checkRun{host: h, remote: remote.ID, size: *size}
	if checks.has("gossip") || flags.topic != "" {
		topic := flags.topic
		if topic == "" {
			topic = defaultTopic
		}
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		if run.gossip, err = joinGossip(ctx, h, topic, nil, nil); err != nil {
			return false, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	err = h.Connect(ctx, *remote)
	cancel()
	if err != nil {
		lines.json(checkLine{Check: "dial", Error: oneLine(err)})
		return false, nil
	}
	return checks.run(run, lines), nil
}

type peerFlags struct {
	*flag.FlagSet
	options hostOptions
	topic   string
}

func newPeerFlags(name string) *peerFlags {
	flags := &peerFlags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	flags.options = hostOptions{key: "ed25519", agent: agent()}
	flags.StringVar(&flags.options.security, "security", "noise", "noise or tls, over TCP")
	flags.StringVar(&flags.topic, "topic", "", "topic to subscribe to and to publish on once a second")
	return flags
}

// agent names the version that the program was built with, so that a table of results can.
func agent() string {
	if info, known := debug.ReadBuildInfo(); known {
		for _, module := range info.Deps {
			if module.Path == "github.com/libp2p/go-libp2p" {
				return "go-libp2p/" + strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return "go-libp2p"
}

func transportOf(addr multiaddr.Multiaddr) string {
	if _, err := addr.ValueForProtocol(multiaddr.P_QUIC_V1); err == nil {
		return "quic"
	}
	return "tcp"
}

// serveEchoWithEvents echoes as it reads. A nil lines prints nothing.
func serveEchoWithEvents(h host.Host, lines *jsonLines) {
	h.SetStreamHandler(echoProtocol, func(s network.Stream) {
		line := echoLine{Event: "echo", Peer: s.Conn().RemotePeer().String()}
		n, err := io.Copy(s, hideWriterTo{s})
		line.Bytes = n
		if err == nil {
			err = s.CloseWrite()
		}
		line.Ok = err == nil
		if err == nil {
			// Not a reset: over QUIC that takes back what was not acknowledged yet.
			s.Close()
		} else {
			s.Reset()
			line.Error = oneLine(err)
		}
		lines.json(line)
	})
}

// hideWriterTo keeps io.Copy to its own loop of reads and writes.
type hideWriterTo struct{ io.Reader }

// reportPeers prints who connects, who they say they are, and who leaves.
func reportPeers(ctx context.Context, h host.Host, lines *jsonLines) error {
	events, err := h.EventBus().Subscribe([]any{
		new(event.EvtPeerConnectednessChanged),
		new(event.EvtPeerIdentificationCompleted),
		new(event.EvtPeerIdentificationFailed),
	}, eventbus.BufSize(256))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { events.Close() })
	go func() {
		for e := range events.Out() {
			switch e := e.(type) {
			case event.EvtPeerConnectednessChanged:
				name := "disconnected"
				if e.Connectedness == network.Connected {
					name = "connected"
				}
				lines.json(peerLine{Event: name, Peer: e.Peer.String()})
			case event.EvtPeerIdentificationCompleted:
				lines.json(peerLine{Event: "identified", Peer: e.Peer.String(), identity: identity{
					Agent:     e.AgentVersion,
					Protocols: protocolStrings(e.Protocols),
				}})
			case event.EvtPeerIdentificationFailed:
				lines.json(peerLine{Event: "failed", Peer: e.Peer.String(), Error: oneLine(e.Reason)})
			}
		}
	}()
	return nil
}

type peerLine struct {
	Event string `json:"event"`
	Peer  string `json:"peer"`
	identity
	Error string `json:"error,omitempty"`
}

type identity struct {
	Agent     string   `json:"agent,omitempty"`
	Protocols []string `json:"protocols,omitempty"`
}

type echoLine struct {
	Event string `json:"event"`
	Peer  string `json:"peer"`
	Bytes int64  `json:"bytes"`
	Ok    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

// jsonLines prints whole lines, whichever goroutine they come from.
type jsonLines struct{ mu sync.Mutex }

func (l *jsonLines) json(value any) {
	if l == nil {
		return
	}
	line, err := json.Marshal(value)
	if err != nil {
		line = []byte(`{"event":"error"}`)
	}
	l.raw(string(line))
}

func (l *jsonLines) raw(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Println(line)
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
