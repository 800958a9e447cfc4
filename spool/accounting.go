package spool

import "github.com/gormtrail/audit/accounting"

// Accounting gives the numbers of now for the account of the spool's producer. Its ConfirmAge is the
// relay's to say.
func (s *Spool) Accounting() accounting.Queue {
	stats := s.Stats()
	q := accounting.Queue{
		Producer: stats.Producer, Written: stats.Written + stats.Unsynced, Refused: stats.Full + stats.Failed + stats.Rejected,
		Quarantined: stats.Quarantined, Pending: stats.Pending + stats.Unsynced, OldestPending: stats.OldestPending,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q.LostWritten = s.counts.lostWritten
	if q.Pending > 0 {
		q.PendingBytes = s.kept()
	}
	return q
}
