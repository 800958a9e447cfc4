package spool

import "github.com/gormtrail/audit/event"

// Kept gives the oldest sequence that is still kept, whether it was sent or not; one more than the last
// if none is.
func (s *Spool) Kept() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segments) == 0 {
		return s.last + 1
	}
	return s.segments[0].first
}

// Refill gives the records with the sequences from to to that are still kept, to be sent again; see the type
// Refill.
func (s *Spool) Refill(from, to uint64) (*Refill, error) {
	acknowledged := s.Acknowledged()
	reader, err := openReader(s.fs, s.Folder())
	if err != nil {
		return nil, err
	}
	return newRefill(reader, Range{From: from, To: to}, acknowledged), nil
}

// Lost says that the records with the sequences from to to are nowhere any more, for the reason; a gap
// record says it downstream.
func (s *Spool) Lost(from, to uint64, reason string) {
	now := s.config.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose(event.Gap{Reason: reason, Count: to - from + 1, From: from, To: to, First: now, Last: now})
}
