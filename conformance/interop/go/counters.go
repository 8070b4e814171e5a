package main

import "sync"

// counters tell what the acceptor side has seen since the process started.
type counters struct {
	ResetsSeen      uint64 `json:"resets_seen"`
	HalfClosesSeen  uint64 `json:"half_closes_seen"`
	StreamsAccepted uint64 `json:"streams_accepted"`
	MaxConcurrent   uint64 `json:"max_concurrent"`
	BytesReceived   uint64 `json:"bytes_received"`
	Failures        uint64 `json:"failures"`
}

type sharedCounters struct {
	mu         sync.Mutex
	counters   counters
	concurrent uint64
}

func (s *sharedCounters) accepted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters.StreamsAccepted++
	s.concurrent++
	s.counters.MaxConcurrent = max(s.counters.MaxConcurrent, s.concurrent)
}

func (s *sharedCounters) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.concurrent--
}

func (s *sharedCounters) change(f func(*counters)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.counters)
}

func (s *sharedCounters) snapshot() counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counters
}
