//go:build pins

// The Kademlia peer of later interop tests lives in this module too. Importing it behind a tag that
// no build sets keeps its version in go.mod through `go mod tidy` without linking it into the peer;
// `go vet -tags pins` shows that the versions compile together.
package main

import (
	_ "github.com/libp2p/go-libp2p-kad-dht"
)
