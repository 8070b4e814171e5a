package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// checkRun is what the checks of one dial share.
type checkRun struct {
	host   host.Host
	remote peer.ID
	size   uint64
	gossip *gossip
}

// A check answers what it got, for the line that is printed.
type check func(context.Context, *checkRun) (any, error)

var knownChecks = map[string]check{
	"ping":     checkPing,
	"identify": checkIdentify,
	"echo":     checkEcho,
	"gossip":   checkGossip,
	"kad":      checkKad,
}

type checkLine struct {
	Check string `json:"check"`
	Ok    bool   `json:"ok"`
	Got   any    `json:"got,omitempty"`
	Error string `json:"error,omitempty"`
}

// checkList names known checks.
type checkList []string

func parseChecks(list string) (checkList, error) {
	names := checkList(strings.Split(list, ","))
	for _, name := range names {
		if knownChecks[name] == nil {
			return nil, fmt.Errorf("unknown check %q\n%w", name, errPeerUsage)
		}
	}
	return names, nil
}

func (l checkList) has(name string) bool { return slices.Contains(l, name) }

// run does every check, also those after one that failed, and answers whether all passed.
func (l checkList) run(r *checkRun, lines *jsonLines) bool {
	passed := true
	for _, name := range l {
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
		got, err := knownChecks[name](ctx, r)
		cancel()
		line := checkLine{Check: name, Ok: err == nil, Got: got}
		if err != nil {
			line.Error = oneLine(err)
			passed = false
		}
		lines.json(line)
	}
	return passed
}

func checkPing(ctx context.Context, r *checkRun) (any, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	select {
	case result := <-ping.Ping(ctx, r.host, r.remote):
		if result.Error != nil {
			return nil, result.Error
		}
		return map[string]int64{"rtt_us": result.RTT.Microseconds()}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// checkIdentify reads what Connect has waited for.
func checkIdentify(_ context.Context, r *checkRun) (any, error) {
	protocols, err := r.host.Peerstore().GetProtocols(r.remote)
	if err != nil {
		return nil, err
	}
	// An error here says that the remote has named no agent.
	name, err := r.host.Peerstore().Get(r.remote, "AgentVersion")
	if err != nil {
		return nil, fmt.Errorf("no agent: %w", err)
	}
	got := identity{Agent: fmt.Sprint(name), Protocols: protocolStrings(protocols)}
	if got.Agent == "" {
		return got, errors.New("the agent is empty")
	}
	if !slices.Contains(protocols, echoProtocol) {
		return got, fmt.Errorf("the remote does not list %s", echoProtocol)
	}
	return got, nil
}

// checkEcho writes and reads at once.
func checkEcho(ctx context.Context, r *checkRun) (any, error) {
	o := &opener{host: r.host, remote: r.remote}
	err := o.with(ctx, echoProtocol, func(s network.Stream) error { return exchange(s, s, r.size, r.size) })
	if err != nil {
		return nil, err
	}
	return map[string]uint64{"bytes": r.size}, nil
}

// checkGossip passes when a message that the remote has published arrives.
func checkGossip(ctx context.Context, r *checkRun) (any, error) {
	return r.gossip.waitFor(ctx, r.remote)
}

func checkKad(context.Context, *checkRun) (any, error) {
	return nil, errors.New("kad is not built yet")
}

func protocolStrings(ids []protocol.ID) []string {
	names := protocol.ConvertToStrings(ids)
	slices.Sort(names)
	return names
}
