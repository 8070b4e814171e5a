package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	publishInterval = time.Second
	// maxPrinted is how much of a message is printed.
	maxPrinted = 100
)

// gossip is a topic that the host is subscribed to, and publishes on once a second.
type gossip struct {
	mu sync.Mutex
	// first has the first message of each peer.
	first map[peer.ID]gossipLine
	// arrived is closed, and another made, when first grows.
	arrived chan struct{}
}

type gossipLine struct {
	Event string `json:"event,omitempty"`
	Topic string `json:"topic"`
	From  string `json:"from"`
	// Data is how it begins, without spaces at the end.
	Data  string `json:"data"`
	Bytes int    `json:"bytes"`
}

// joinGossip runs until the end of the context. Messages are filled up to the lengths, which take turns.
// A nil lines prints nothing.
func joinGossip(ctx context.Context, h host.Host, name string, lengths []int, lines *jsonLines) (*gossip, error) {
	router, err := pubsub.NewGossipSub(ctx, h)
	if err != nil {
		return nil, err
	}
	topic, err := router.Join(name)
	if err != nil {
		return nil, err
	}
	subscription, err := topic.Subscribe()
	if err != nil {
		return nil, err
	}
	g := &gossip{first: make(map[peer.ID]gossipLine), arrived: make(chan struct{})}
	go publish(ctx, h.ID(), topic, lengths)
	go g.receive(ctx, h.ID(), subscription, lines)
	return g, nil
}

func publish(ctx context.Context, self peer.ID, topic *pubsub.Topic, lengths []int) {
	ticker := time.NewTicker(publishInterval)
	defer ticker.Stop()
	for number := uint64(0); ; number++ {
		data := fmt.Appendf(nil, "%d from %s", number, self)
		if len(lengths) > 0 {
			if missing := lengths[number%uint64(len(lengths))] - len(data); missing > 0 {
				data = append(data, bytes.Repeat([]byte{' '}, missing)...)
			}
		}
		if topic.Publish(ctx, data) != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (g *gossip) receive(ctx context.Context, self peer.ID, subscription *pubsub.Subscription, lines *jsonLines) {
	for {
		message, err := subscription.Next(ctx)
		if err != nil {
			return
		}
		from := message.GetFrom()
		if from == self {
			continue
		}
		printed := string(message.Data[:min(len(message.Data), maxPrinted)])
		line := gossipLine{
			Topic: message.GetTopic(),
			From:  from.String(),
			Data:  strings.TrimRight(printed, " "),
			Bytes: len(message.Data),
		}
		g.mu.Lock()
		if _, known := g.first[from]; !known {
			g.first[from] = line
			close(g.arrived)
			g.arrived = make(chan struct{})
		}
		g.mu.Unlock()
		line.Event = "gossip"
		lines.json(line)
	}
}

// waitFor answers the first message that a peer has published.
func (g *gossip) waitFor(ctx context.Context, from peer.ID) (any, error) {
	for {
		g.mu.Lock()
		line, known := g.first[from]
		arrived := g.arrived
		g.mu.Unlock()
		if known {
			return line, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, fmt.Errorf("no message of the remote: %w", ctx.Err())
		}
	}
}
