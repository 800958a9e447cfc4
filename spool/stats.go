package spool

import (
	"time"

	"github.com/gormtrail/audit/event"
)

// Stats are the numbers of a spool at one moment.
type Stats struct {
	// Producer is the producer name.
	Producer string
	// Written is the sequence of the last record, and so the number of records ever written.
	// Acknowledged is up to where the stream has them.
	Written, Acknowledged uint64
	// Pending is the number of records that are not acknowledged, OldestPending how long the oldest of
	// them has been waiting, to about a second, after a restart to about a segment.
	Pending       uint64
	OldestPending time.Duration
	// Bytes is the size of all segments, with those that are kept though they are acknowledged.
	Bytes    int64
	Segments int
	// Full counts the records refused because there was no room, Failed those the disk did not take,
	// Rejected those that could not be encoded: Write gave an error for them.
	Full, Failed, Rejected uint64
	// SyncErrors counts failed writes and syncs, also those that another file made good.
	SyncErrors uint64
	// CutBytes is what recovery cut off the end, DamagedBytes what was damaged in the middle. Both are
	// in the folder quarantine.
	CutBytes, DamagedBytes int64
	// Lost counts the records that are lost, and that gap records tell of: those of Full, Failed and
	// Rejected, as far as the policy is Drop, and those that were written and are damaged or removed.
	Lost uint64
	// Quarantined counts the records that cannot be sent, and were put aside.
	Quarantined uint64
	// Unsynced is how many records of WriteBestEffort are in memory, on their way to the disk.
	Unsynced uint64
	// Degraded counts the records written without old and new values, as there was little room.
	Degraded uint64
	// Gaps counts the gap records written; they are among Written. GapsWaiting is how many gaps wait for
	// theirs: to sum up what goes on, or for room.
	Gaps        uint64
	GapsWaiting int
	// Indexed is up to where the store is known to have everything.
	Indexed uint64
	// Problem is what is wrong with the disk now. FreeBytes is what was free on the volume when it was
	// looked at last, within about a second; on Linux only, else the largest number.
	Problem   Problem
	FreeBytes int64
}

// Stats gives the numbers of now.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{
		Producer: s.folder.producer, Written: s.last, Acknowledged: s.acknowledged, Pending: s.last - s.acknowledged,
		Bytes: s.bytes, Segments: len(s.segments),
		Full: s.counts.full, Failed: s.counts.failed, Rejected: s.counts.rejected, SyncErrors: s.counts.syncErrors,
		CutBytes: s.counts.cutBytes, DamagedBytes: s.counts.damagedBytes, Lost: s.counts.lost, Quarantined: s.counts.quarantined,
		Degraded: s.counts.degraded, Gaps: s.counts.gaps, GapsWaiting: len(s.losses.entries), Indexed: s.indexed,
		Unsynced: s.unsynced, Problem: s.problem, FreeBytes: s.free.bytes,
	}
	if oldest, ok := s.ages.oldest(s.acknowledged); ok && stats.Pending > 0 {
		stats.OldestPending = max(0, s.config.Now().Sub(time.Unix(0, oldest)))
	}
	return stats
}

// kept gives the size of the segments that are not acknowledged as a whole. The caller holds mu.
func (s *Spool) kept() int64 {
	kept := s.bytes
	for i := 0; i+1 < len(s.segments) && s.segments[i+1].first-1 <= s.acknowledged; i++ {
		kept -= s.segments[i].size
	}
	return kept
}

// ages remembers when records were written, with one entry a second.
type ages []age

type age struct {
	upTo uint64
	time int64 // of the first record of the entry, in Unix nanoseconds
}

func (a *ages) add(upTo uint64, at int64) {
	if n := len(*a); n > 0 && at-(*a)[n-1].time < int64(time.Second) {
		(*a)[n-1].upTo = upTo
		return
	}
	*a = append(*a, age{upTo, at})
}

// oldest gives the time of the oldest record behind acknowledged, and forgets those before it.
func (a *ages) oldest(acknowledged uint64) (int64, bool) {
	n := 0
	for n < len(*a) && (*a)[n].upTo <= acknowledged {
		n++
	}
	*a = (*a)[n:]
	if len(*a) == 0 {
		return 0, false
	}
	return (*a)[0].time, true
}

// idOf is the id that a message of the record has on the stream.
func idOf(r *event.Record) string {
	if len(r.LogID) > event.MaxIDLength {
		return r.LogID[:event.MaxIDLength]
	}
	return r.LogID
}
