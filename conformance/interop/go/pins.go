//go:build pins

// The gossip and Kademlia peers of later interop tests live in this module too. Importing them
// behind a tag that no build sets keeps their versions in go.mod through `go mod tidy` without
// linking them into the peer; `go vet -tags pins` shows that the versions compile together.
package main

import (
	_ "github.com/libp2p/go-libp2p-kad-dht"
	_ "github.com/libp2p/go-libp2p-pubsub"
)
