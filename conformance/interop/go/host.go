package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

type hostOptions struct {
	transport string
	security  string
	psk       string
	key       string
	// agent is what identify says of this host; go-libp2p's own choice if empty.
	agent string
}

// newHost makes a host with one transport, one security protocol and yamux. An empty addr listens
// nowhere.
func newHost(options hostOptions, addr string) (host.Host, error) {
	identity, err := newIdentity(options.key)
	if err != nil {
		return nil, err
	}
	settings := []libp2p.Option{
		libp2p.Identity(identity),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		// Loopback only, one remote: nothing to relay, nothing to discover.
		libp2p.DisableRelay(),
		// The default limits refuse a peer's 65th inbound stream of one protocol.
		libp2p.ResourceManager(&network.NullResourceManager{}),
	}
	switch options.transport {
	case "tcp":
		settings = append(settings, libp2p.Transport(tcp.NewTCPTransport))
	case "quic":
		settings = append(settings, libp2p.Transport(quic.NewTransport))
	default:
		return nil, fmt.Errorf("unknown transport %q\n%w", options.transport, errUsage)
	}
	switch options.security {
	case "noise":
		settings = append(settings, libp2p.Security(noise.ID, noise.New))
	case "tls":
		settings = append(settings, libp2p.Security(tls.ID, tls.New))
	default:
		return nil, fmt.Errorf("unknown security %q\n%w", options.security, errUsage)
	}
	if options.psk != "" {
		psk, err := hex.DecodeString(options.psk)
		if err != nil || len(psk) != 32 {
			return nil, fmt.Errorf("a pre-shared key is 64 hexadecimal digits\n%w", errUsage)
		}
		settings = append(settings, libp2p.PrivateNetwork(psk))
	}
	if options.agent != "" {
		settings = append(settings, libp2p.UserAgent(options.agent))
	}
	if addr == "" {
		settings = append(settings, libp2p.NoListenAddrs)
	} else {
		settings = append(settings, libp2p.ListenAddrStrings(addr))
	}
	return libp2p.New(settings...)
}

// anyPort is where a host of a transport listens unless it is told.
func anyPort(transport string) string {
	if transport == "quic" {
		return "/ip4/127.0.0.1/udp/0/quic-v1"
	}
	return "/ip4/127.0.0.1/tcp/0"
}

func newIdentity(key string) (crypto.PrivKey, error) {
	kinds := map[string]int{
		"ed25519":   crypto.Ed25519,
		"secp256k1": crypto.Secp256k1,
		"ecdsa":     crypto.ECDSA,
		"rsa":       crypto.RSA,
	}
	kind, known := kinds[key]
	if !known {
		return nil, fmt.Errorf("unknown key type %q\n%w", key, errUsage)
	}
	// The size counts for RSA alone, and is the smallest that libp2p accepts.
	identity, _, err := crypto.GenerateKeyPairWithReader(kind, 2048, rand.Reader)
	return identity, err
}
