package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	echoProtocol        protocol.ID = "/interop/echo/1.0.0"
	checksumProtocol    protocol.ID = "/interop/checksum/1.0.0"
	duplexProtocol      protocol.ID = "/interop/duplex/1.0.0"
	resetMeProtocol     protocol.ID = "/interop/reset-me/1.0.0"
	expectResetProtocol protocol.ID = "/interop/expect-reset/1.0.0"
	reportProtocol      protocol.ID = "/interop/report/1.0.0"
)

// serve answers every protocol as the acceptor, each stream in the goroutine that go-libp2p gives it.
func serve(h host.Host) {
	shared := new(sharedCounters)
	handlers := map[protocol.ID]func(*accepted) error{
		echoProtocol:        serveEcho,
		checksumProtocol:    serveChecksum,
		duplexProtocol:      serveDuplex,
		resetMeProtocol:     serveResetMe,
		expectResetProtocol: serveExpectReset,
		reportProtocol:      serveReport,
	}
	for id, handle := range handlers {
		h.SetStreamHandler(id, func(s network.Stream) {
			shared.accepted()
			defer shared.done()
			if err := handle(&accepted{stream: s, shared: shared}); err == nil {
				// Not a reset: over QUIC that takes back what was not acknowledged yet.
				s.Close()
			} else {
				s.Reset()
				shared.change(func(c *counters) { c.Failures++ })
				fmt.Fprintf(os.Stderr, "go-peer: %s: %v\n", id, err)
			}
		})
	}
}

// accepted is an inbound stream whose reads are counted.
type accepted struct {
	stream network.Stream
	shared *sharedCounters
	// ended is set by the read that saw the end, so that an end is counted once.
	ended bool
}

func (a *accepted) Read(p []byte) (int, error) {
	n, err := a.stream.Read(p)
	a.shared.change(func(c *counters) {
		c.BytesReceived += uint64(n)
		switch {
		case a.ended || err == nil:
		case errors.Is(err, io.EOF):
			a.ended = true
			c.HalfClosesSeen++
		case errors.Is(err, network.ErrReset):
			a.ended = true
			c.ResetsSeen++
		}
	})
	return n, err
}

func serveEcho(a *accepted) error {
	if _, err := io.Copy(a.stream, a); err != nil {
		return err
	}
	return a.stream.CloseWrite()
}

func serveChecksum(a *accepted) error {
	up, down, err := readHeader(a)
	if err != nil {
		return err
	}
	received, sum, err := hashAll(a)
	if err != nil {
		return err
	}
	if received != up {
		return fmt.Errorf("received %d bytes of %d", received, up)
	}
	if _, err := a.stream.Write(sum); err != nil {
		return err
	}
	if _, err := io.Copy(a.stream, patternReader(down)); err != nil {
		return err
	}
	return a.stream.CloseWrite()
}

func serveDuplex(a *accepted) error {
	up, down, err := readHeader(a)
	if err != nil {
		return err
	}
	return exchange(a.stream, a, down, up)
}

func serveResetMe(a *accepted) error {
	one := make([]byte, 1)
	if _, err := io.ReadFull(a, one); err != nil {
		return err
	}
	if _, err := a.stream.Write(one); err != nil {
		return err
	}
	if _, err := io.ReadFull(a, one); err != nil {
		return err
	}
	return a.stream.Reset()
}

func serveExpectReset(a *accepted) error {
	one := make([]byte, 1)
	if _, err := io.ReadFull(a, one); err != nil {
		return err
	}
	if _, err := a.stream.Write(one); err != nil {
		return err
	}
	n, err := a.Read(one)
	if errors.Is(err, network.ErrReset) {
		return nil
	}
	return fmt.Errorf("wanted a reset, got %d bytes and %v", n, err)
}

func serveReport(a *accepted) error {
	if n, err := io.Copy(io.Discard, a); err != nil || n != 0 {
		return fmt.Errorf("wanted an empty request, got %d bytes and %v", n, err)
	}
	line, err := json.Marshal(a.shared.snapshot())
	if err != nil {
		return err
	}
	if _, err := a.stream.Write(append(line, '\n')); err != nil {
		return err
	}
	return a.stream.CloseWrite()
}

func readHeader(r io.Reader) (up, down uint64, err error) {
	var header [16]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, 0, fmt.Errorf("header: %w", err)
	}
	return binary.BigEndian.Uint64(header[:8]), binary.BigEndian.Uint64(header[8:]), nil
}

func writeHeader(w io.Writer, up, down uint64) error {
	header := binary.BigEndian.AppendUint64(nil, up)
	_, err := w.Write(binary.BigEndian.AppendUint64(header, down))
	return err
}

// hashAll reads to the end and answers how much there was and its SHA-256.
func hashAll(r io.Reader) (uint64, []byte, error) {
	h := sha256.New()
	n, err := io.Copy(hashOnly{h}, r)
	return uint64(n), h.Sum(nil), err
}

// hashOnly hides everything but Write, so that io.Copy reads in blocks of its own size.
type hashOnly struct{ hash.Hash }

// exchange sends `out` bytes of pattern and half-closes while it reads to the end, then checks
// that it read `in` bytes of pattern.
func exchange(s network.Stream, r io.Reader, out, in uint64) error {
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(s, patternReader(out))
		if err == nil {
			err = s.CloseWrite()
		}
		sent <- err
	}()
	received, sum, err := hashAll(r)
	if err != nil {
		s.Reset()
	}
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	return checkPattern(received, sum, in)
}
