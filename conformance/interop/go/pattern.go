package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
)

// The pattern repeats after patternBytes, because only the low 16 bits of an index reach a byte.
const patternBytes = 1 << 16

var pattern = func() []byte {
	table := make([]byte, patternBytes)
	for i := range table {
		table[i] = byte(uint64(i)*31 + uint64(i)>>8)
	}
	return table
}()

// patternReader yields the first n bytes of the pattern.
func patternReader(n uint64) io.Reader {
	return io.LimitReader(&patternSource{}, int64(n))
}

type patternSource struct{ at int }

func (s *patternSource) Read(p []byte) (int, error) {
	n := copy(p, pattern[s.at:])
	s.at = (s.at + n) % patternBytes
	return n, nil
}

func patternSum(n uint64) ([]byte, error) {
	hash := sha256.New()
	_, err := io.Copy(hash, patternReader(n))
	return hash.Sum(nil), err
}

// checkPattern compares what was received, given as its length and SHA-256, with n bytes of pattern.
func checkPattern(received uint64, sum []byte, n uint64) error {
	if received != n {
		return fmt.Errorf("received %d bytes of %d", received, n)
	}
	expected, err := patternSum(n)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, expected) {
		return fmt.Errorf("SHA-256 of %d received bytes is %x, the pattern's is %x", n, sum, expected)
	}
	return nil
}
