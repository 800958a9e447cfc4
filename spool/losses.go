package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gormtrail/audit/event"
)

// losses are the gaps that no gap record tells of yet. They wait in a file that is overwritten in place,
// in two slots by turns, so that it needs no room on a full disk and a torn write leaves the slot before.
// A gap with a range is an entry of its own; others are summed up by reason, as a spool that is full for
// hours must not fill the disk with gap records.
type losses struct {
	file       file
	generation uint64
	entries    []loss
	known      map[string]bool // ids of gaps with a range that were told in this life
	changed    bool            // since it was saved
	saved      chan struct{}   // closed and replaced when it was saved, or could not be
}

// loss is a gap that waits. Sealed says that its record may have been written: it does not change any
// more, so that a second one would be the same record to everybody who reads it.
type loss struct {
	ID     string    `json:"id"`
	Sealed bool      `json:"sealed,omitempty"`
	Gap    event.Gap `json:"gap"`
}

const (
	lossesName = "losses"
	lossSlot   = 4 << 10
	lossHead   = 8 + 4 + 4 // generation, length, CRC-32C of all but itself
)

// openLosses opens the file and reads what waits in it.
func openLosses(fsys filesystem, dir string) (*losses, error) {
	f, err := fsys.OpenFile(filepath.Join(dir, lossesName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	l := &losses{file: f, known: make(map[string]bool), saved: make(chan struct{})}
	for slot := range int64(2) {
		b := make([]byte, lossSlot)
		n, err := f.ReadAt(b, slot*lossSlot)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("spool: %w", errors.Join(err, f.Close()))
		}
		generation, entries, ok := parseLosses(b[:n])
		if ok && generation > l.generation {
			l.generation, l.entries = generation, entries
		}
	}
	return l, nil
}

func parseLosses(b []byte) (generation uint64, entries []loss, ok bool) {
	if len(b) < lossHead {
		return 0, nil, false
	}
	n := int64(binary.BigEndian.Uint32(b[8:]))
	if n > int64(len(b)-lossHead) {
		return 0, nil, false
	}
	b = b[:lossHead+n]
	if binary.BigEndian.Uint32(b[12:]) != lossChecksum(b) || json.Unmarshal(b[lossHead:], &entries) != nil {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(b), entries, true
}

func lossChecksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[lossHead:])
}

// add takes a gap, and reports whether it is news.
func (l *losses) add(g event.Gap, now time.Time) bool {
	if g.From > 0 {
		id := g.ID()
		if l.known[id] {
			return false
		}
		l.known[id] = true
		l.entries = append(l.entries, loss{ID: id, Gap: g})
		l.changed = true
		return true
	}
	l.changed = true
	for i := range l.entries {
		known := &l.entries[i].Gap
		if l.entries[i].Sealed || known.From > 0 || known.Reason != g.Reason {
			continue
		}
		known.Count += g.Count
		known.Bytes += g.Bytes
		known.Last, known.Detail = g.Last, g.Detail
		return true
	}
	l.entries = append(l.entries, loss{ID: event.NewID(now), Gap: g})
	return true
}

// encode gives the slot for the entries; those that do not fit wait in memory only.
func (l *losses) encode(generation uint64) []byte {
	for n := len(l.entries); ; n-- {
		data, err := json.Marshal(l.entries[:n])
		if err != nil || lossHead+len(data) > lossSlot {
			continue // of no entry it fits, and cannot fail
		}
		b := binary.BigEndian.AppendUint64(nil, generation)
		b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
		b = append(b, 0, 0, 0, 0)
		b = append(b, data...)
		binary.BigEndian.PutUint32(b[12:], lossChecksum(b))
		return b
	}
}

// seal takes the entries as they are for gap records.
func (l *losses) seal() []loss {
	for i := range l.entries {
		if !l.entries[i].Sealed {
			l.entries[i].Sealed, l.changed = true, true
		}
	}
	return append([]loss(nil), l.entries...)
}

// done forgets entries whose records are written.
func (l *losses) done(written []loss) {
	rest := l.entries[:0:0]
	for _, e := range l.entries {
		gone := false
		for _, w := range written {
			gone = gone || w.ID == e.ID
		}
		if !gone {
			rest = append(rest, e)
		}
	}
	l.entries, l.changed = rest, true
}

// lose counts records that are lost, and lets run write it down. The caller holds mu.
func (s *Spool) lose(g event.Gap) {
	g.Producer = s.folder.producer
	if !s.losses.add(g, s.config.Now()) {
		return
	}
	if g.Reason != event.GapQuarantined { // those still exist
		s.counts.lost += g.Count
		if g.From > 0 {
			s.counts.lostWritten += g.Count
		}
	}
	s.poke()
}

// dropped counts records that Write could not take, as the policy says, and waits until that is on file,
// but not for long: a disk that hangs must not hold the caller any more.
func (s *Spool) dropped(reason string, n int, detail error) {
	if s.config.WhenFull == Reject && reason != event.GapInvalid {
		return
	}
	now := s.config.Now()
	s.mu.Lock()
	s.lose(event.Gap{Reason: reason, Count: uint64(n), First: now, Last: now, Detail: detail.Error()})
	saved := s.losses.saved
	s.mu.Unlock()
	timer := time.NewTimer(lossPatience)
	defer timer.Stop()
	select {
	case <-saved:
	case <-s.ended:
	case <-timer.C:
	}
}

// lossPatience is how long Write waits for a loss to be on file.
const lossPatience = 100 * time.Millisecond

// poke wakes run. It never waits.
func (s *Spool) poke() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// saveLosses writes the file if something has changed. Only run calls it.
func (s *Spool) saveLosses() {
	s.mu.Lock()
	if !s.losses.changed {
		s.mu.Unlock()
		return
	}
	s.losses.changed = false
	generation := s.losses.generation + 1
	b := s.losses.encode(generation)
	s.mu.Unlock()
	_, err := s.losses.file.WriteAt(b, int64(generation%2)*lossSlot)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.losses.saved) // nobody waits for a disk that refuses
	s.losses.saved = make(chan struct{})
	if err != nil {
		s.losses.changed = true // at the next look
		s.trouble("losses cannot be written down", err)
		return
	}
	s.losses.generation = generation
}

// rangeWaits reports whether there is a gap that no other will be added to, so that there is nothing to wait
// for.
func (s *Spool) rangeWaits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.losses.entries, func(l loss) bool { return l.Gap.From > 0 })
}

// gapInterval is how often gap records are written while what they tell of goes on.
const gapInterval = time.Minute

// writeGaps writes gap records for what waits, if it is time. Only run calls it.
func (s *Spool) writeGaps(force bool) {
	s.mu.Lock()
	now := s.config.Now()
	over := s.problem == ProblemNone && s.kept()+s.reserved < s.config.room()
	if len(s.losses.entries) == 0 || !force && !over && !s.lastGap.IsZero() && now.Sub(s.lastGap) < gapInterval {
		s.mu.Unlock()
		return
	}
	entries := s.losses.seal()
	s.mu.Unlock()
	s.saveLosses() // before the records: after a crash in between they are the same again
	for len(entries) > 0 {
		some := entries[:min(len(entries), batchRecords)]
		if !s.writeSome(some) {
			return // they wait, and are kept in the file
		}
		entries = entries[len(some):]
	}
	s.saveLosses()
}

// writeSome writes the gap records of the entries, and reports whether it could.
func (s *Spool) writeSome(entries []loss) bool {
	var records []record
	size := int64(0)
	for _, e := range entries {
		r := e.Gap.Record(e.ID)
		encoded, err := encode(&r)
		if err != nil { // its members are ours
			s.config.Logger.Error("spool: a gap record cannot be encoded", slog.Any("error", err))
			continue
		}
		records = append(records, record{id: e.ID, encoded: encoded})
		size += int64(frameSize(e.ID, len(encoded)+seqRoom))
	}
	s.mu.Lock()
	fits := s.bytes+size <= s.config.gapRoom()
	s.mu.Unlock()
	if !fits {
		return false
	}
	s.mu.Lock()
	before := s.problem
	s.mu.Unlock()
	err := s.persist(records, func() {})
	if err != nil && classify(err).Problem == ProblemFull && s.dropBallast() {
		err = s.persist(records, func() {})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && before == ProblemFull {
		s.problem = before // what a gap record found room in is not for others
	}
	if err != nil {
		s.trouble("gap records cannot be written", err)
		return false
	}
	s.losses.done(entries)
	s.lastGap = s.config.Now()
	s.counts.gaps += uint64(len(records))
	return true
}
