package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// opener runs tasks against one connected remote.
type opener struct {
	host   host.Host
	remote peer.ID
}

type task func(context.Context, *opener) (string, error)

func parseTask(args []string) (task, error) {
	numbers := make([]uint64, 0, 2)
	for _, arg := range args[1:] {
		n, err := strconv.ParseUint(arg, 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%w\n%w", err, errUsage)
		}
		numbers = append(numbers, n)
	}
	pair := func(run func(context.Context, *opener, uint64, uint64) (string, error)) (task, error) {
		if len(numbers) != 2 {
			return nil, fmt.Errorf("%s takes two numbers\n%w", args[0], errUsage)
		}
		return func(ctx context.Context, o *opener) (string, error) {
			return run(ctx, o, numbers[0], numbers[1])
		}, nil
	}
	alone := func(run task) (task, error) {
		if len(numbers) != 0 {
			return nil, fmt.Errorf("%s takes no numbers\n%w", args[0], errUsage)
		}
		return run, nil
	}
	switch args[0] {
	case "echo":
		return pair(echo)
	case "checksum":
		return pair(checksum)
	case "duplex":
		return pair(duplex)
	case "reset-me":
		return alone(resetMe)
	case "expect-reset":
		return alone(expectReset)
	case "report":
		return alone(func(ctx context.Context, o *opener) (string, error) {
			seen, err := o.report(ctx)
			if err != nil {
				return "", err
			}
			line, err := json.Marshal(seen)
			return string(line), err
		})
	default:
		return nil, fmt.Errorf("unknown task %q\n%w", args[0], errUsage)
	}
}

// with opens a stream, runs f on it, and closes it, or resets it when f failed. The end of the
// context resets it too, so that no read outlives the deadline.
func (o *opener) with(ctx context.Context, id protocol.ID, f func(network.Stream) error) error {
	s, err := o.host.NewStream(ctx, o.remote, id)
	if err != nil {
		return fmt.Errorf("open %s: %w", id, err)
	}
	stop := context.AfterFunc(ctx, func() { s.Reset() })
	defer stop()
	if err := f(s); err != nil {
		s.Reset()
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%s: %w (%w)", id, err, cause)
		}
		return fmt.Errorf("%s: %w", id, err)
	}
	// Not a reset: over QUIC that takes back what was not acknowledged yet.
	s.Close()
	return nil
}

func (o *opener) report(ctx context.Context) (seen counters, err error) {
	err = o.with(ctx, reportProtocol, func(s network.Stream) error {
		if err := s.CloseWrite(); err != nil {
			return err
		}
		line, err := io.ReadAll(io.LimitReader(s, 1<<16))
		if err != nil {
			return err
		}
		return json.Unmarshal(line, &seen)
	})
	return seen, err
}

// echo holds all its streams open at once: each waits, after its first byte came back, until every
// other has come as far.
func echo(ctx context.Context, o *opener, count, size uint64) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running, opened sync.WaitGroup
	allOpen := make(chan struct{})
	opened.Add(int(count))
	errs := make([]error, count)
	for i := range errs {
		running.Go(func() {
			arrive := sync.OnceFunc(opened.Done)
			defer arrive()
			errs[i] = o.with(ctx, echoProtocol, func(s network.Stream) error {
				return echoOne(ctx, s, size, func() {
					arrive()
					select {
					case <-allOpen:
					case <-ctx.Done():
					}
				})
			})
			if errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	opened.Wait()
	close(allOpen)
	running.Wait()
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("streams=%d bytes=%d", count, count*size), nil
}

func echoOne(ctx context.Context, s network.Stream, size uint64, barrier func()) error {
	payload := patternReader(size)
	if size > 0 {
		first := make([]byte, 1)
		if _, err := io.ReadFull(payload, first); err != nil {
			return err
		}
		if _, err := s.Write(first); err != nil {
			return err
		}
		back := make([]byte, 1)
		if _, err := io.ReadFull(s, back); err != nil {
			return fmt.Errorf("first byte: %w", err)
		}
		if !bytes.Equal(first, back) {
			return fmt.Errorf("first byte %x came back as %x", first, back)
		}
	}
	barrier()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(s, payload)
		if err == nil {
			err = s.CloseWrite()
		}
		sent <- err
	}()
	// The first byte was read already; the hash wants the whole.
	received, sum, err := hashAll(io.MultiReader(bytes.NewReader(pattern[:min(size, 1)]), s))
	if err != nil {
		s.Reset()
	}
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	return checkPattern(received, sum, size)
}

func checksum(ctx context.Context, o *opener, up, down uint64) (string, error) {
	err := o.with(ctx, checksumProtocol, func(s network.Stream) error {
		if err := writeHeader(s, up, down); err != nil {
			return err
		}
		if _, err := io.Copy(s, patternReader(up)); err != nil {
			return err
		}
		if err := s.CloseWrite(); err != nil {
			return err
		}
		answered := make([]byte, 32)
		if _, err := io.ReadFull(s, answered); err != nil {
			return fmt.Errorf("checksum: %w", err)
		}
		if err := checkPattern(up, answered, up); err != nil {
			return fmt.Errorf("upload: %w", err)
		}
		received, sum, err := hashAll(s)
		if err != nil {
			return err
		}
		return checkPattern(received, sum, down)
	})
	return fmt.Sprintf("up=%d down=%d", up, down), err
}

func duplex(ctx context.Context, o *opener, up, down uint64) (string, error) {
	err := o.with(ctx, duplexProtocol, func(s network.Stream) error {
		if err := writeHeader(s, up, down); err != nil {
			return err
		}
		return exchange(s, s, up, down)
	})
	if err != nil {
		return "", err
	}
	// The acceptor's end says nothing of the upload, which closing the connection could cut off:
	// TCP forgets what it has not delivered when a socket is closed with something unread. The
	// answer to a report, which was sent behind the upload, says that all has arrived.
	if _, err := o.report(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("up=%d down=%d", up, down), nil
}

func resetMe(ctx context.Context, o *opener) (string, error) {
	err := o.with(ctx, resetMeProtocol, func(s network.Stream) error {
		one := []byte{1}
		if _, err := s.Write(one); err != nil {
			return err
		}
		if _, err := io.ReadFull(s, one); err != nil {
			return fmt.Errorf("echo: %w", err)
		}
		if _, err := s.Write(one); err != nil {
			return err
		}
		n, err := s.Read(one)
		// The end of the context resets the stream from this side: that is not what was asked for.
		if ctx.Err() == nil && errors.Is(err, network.ErrReset) {
			return nil
		}
		return fmt.Errorf("wanted a reset, got %d bytes and %v", n, err)
	})
	if err != nil {
		return "", err
	}
	// A lost connection could look the same; a report shows that it lives.
	if _, err := o.report(ctx); err != nil {
		return "", err
	}
	return "reset seen", nil
}

// expectReset asks the acceptor for its count before and after, because only the acceptor can tell
// a reset from an end, and because leaving at once could take the reset down with the connection.
func expectReset(ctx context.Context, o *opener) (string, error) {
	before, err := o.report(ctx)
	if err != nil {
		return "", err
	}
	err = o.with(ctx, expectResetProtocol, func(s network.Stream) error {
		if _, err := s.Write([]byte{1}); err != nil {
			return err
		}
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
			return fmt.Errorf("echo: %w", err)
		}
		return s.Reset()
	})
	if err != nil {
		return "", err
	}
	for {
		after, err := o.report(ctx)
		if err != nil {
			return "", fmt.Errorf("the acceptor counted no reset: %w", err)
		}
		if after.ResetsSeen > before.ResetsSeen {
			return fmt.Sprintf("resets_seen=%d", after.ResetsSeen), nil
		}
	}
}
