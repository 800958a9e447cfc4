package spool

import "github.com/gormtrail/audit/accounting"

// Accounting gives the numbers of now for the account of the spool's producer. Its ConfirmAge is the
// relay's to say.
func (s *Spool) Accounting() accounting.Queue {
	stats := s.Stats()
	q := accounting.Queue{
		Producer: stats.Producer, Written: stats.Written, Refused: stats.Full + stats.Failed + stats.Rejected,
		LostWritten: stats.Lost, Quarantined: stats.Quarantined, Pending: stats.Pending, OldestPending: stats.OldestPending,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.segments) - 1; i >= 0 && stats.Pending > 0; i-- {
		q.PendingBytes += s.segments[i].size
		if s.segments[i].first <= stats.Acknowledged+1 {
			break
		}
	}
	return q
}
