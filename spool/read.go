package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sort"
	"strconv"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/stream"
)

// readBytes is how much is read from the disk at once, and about what Read gives at most.
const readBytes = 1 << 20

// cursor is where the reader stands.
type cursor struct {
	file   file
	first  uint64 // of the segment
	offset int64
	ahead  []byte // what was read from offset on
	after  uint64 // the sequence read last
}

func (c *cursor) close() {
	if c.file != nil {
		_ = c.file.Close() // it was only read
	}
	*c = cursor{}
}

// lostRange are sequences whose records are damaged.
type lostRange struct{ from, to uint64 }

// damagePlace tells damage that is read again from new damage.
type damagePlace struct {
	first  uint64
	offset int64
}

// properties are the application properties of each message.
var properties = map[string]string{"schema_version": strconv.Itoa(event.SchemaVersion)}

// Read gives the records behind the sequence after, in order, at least one and at most limit, waiting
// for the first as long as ctx lives. Of a spool that is only drained it gives io.EOF at the end. It
// implements relay.Queue. What is damaged is put aside and left out.
func (s *Spool) Read(ctx context.Context, after uint64, limit int) ([]stream.Message, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		select {
		case <-s.quit:
			return nil, ErrClosed
		default:
		}
		s.mu.Lock()
		last, changed := s.last, s.changed
		s.mu.Unlock()
		if after < last {
			messages, next, err := s.read(after, last, limit)
			if err != nil || len(messages) > 0 {
				return messages, err
			}
			after = next // all up to there is lost or gone
			continue
		}
		if !s.own {
			return nil, io.EOF
		}
		select {
		case <-changed:
		case <-s.quit:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// read gives records behind after and up to last, and the sequence up to which it has looked.
func (s *Spool) read(after, last uint64, limit int) ([]stream.Message, uint64, error) {
	if s.cursor.file == nil || s.cursor.after != after {
		if err := s.seek(after); err != nil {
			return nil, after, err
		}
	}
	var messages []stream.Message
	c := &s.cursor
	for size := 0; len(messages) < limit && size < readBytes; {
		g, upTo, ok := s.segmentOf(c.first)
		upTo = min(upTo, last)
		if !ok || c.after >= upTo {
			if c.after >= last {
				break
			}
			if err := s.seek(c.after); err != nil {
				if len(messages) > 0 {
					break // it comes again with the next call
				}
				return nil, after, err
			}
			if c.file == nil {
				break
			}
			continue
		}
		chunk, err := s.chunk(g, upTo)
		if err != nil {
			if len(messages) > 0 {
				break
			}
			return nil, after, err
		}
		n, got := s.parse(chunk, g, upTo, limit-len(messages))
		messages = append(messages, got...)
		size += n
	}
	return messages, c.after, nil
}

// seek puts the cursor into the segment that has the sequence behind after. After an error it is where
// it was.
func (s *Spool) seek(after uint64) error {
	for {
		s.mu.Lock()
		segments := s.segments
		i := sort.Search(len(segments), func(i int) bool { return segments[i].first > after+1 })
		var g segment
		if len(segments) > 0 {
			g = segments[max(i-1, 0)]
		}
		last := s.last
		s.mu.Unlock()
		if g.path == "" { // everything was acknowledged once, and is gone
			s.cursor.close()
			s.cursor.after = last
			return nil
		}
		f, err := s.fs.Open(g.path)
		if errors.Is(err, fs.ErrNotExist) {
			if _, _, there := s.segmentOf(g.first); !there {
				continue // it was removed a moment ago
			}
		}
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		s.cursor.close()
		s.cursor = cursor{file: f, first: g.first, offset: headerSize, after: max(after, g.first-1)}
		return nil
	}
}

// segmentOf gives the segment that begins with first, and the last sequence that counts in it.
func (s *Spool) segmentOf(first uint64) (g segment, upTo uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, g := range s.segments {
		if g.first != first {
			continue
		}
		if i+1 < len(s.segments) {
			return g, s.segments[i+1].first - 1, true
		}
		return g, s.last, true
	}
	return segment{}, 0, false
}

// chunk reads on at the cursor.
func (s *Spool) chunk(g segment, upTo uint64) ([]byte, error) {
	c := &s.cursor
	if f, _, err := parseFrame(c.ahead); err == nil && f.seq <= upTo {
		return c.ahead, nil
	}
	read := func(n int64) ([]byte, error) {
		b := make([]byte, max(0, min(n, g.size-c.offset)))
		if _, err := c.file.ReadAt(b, c.offset); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("spool: %w", err)
		}
		return b, nil
	}
	b, err := read(readBytes)
	if err != nil {
		return nil, err
	}
	f, n, err := parseFrame(b)
	switch {
	case errors.Is(err, errShort) && int64(n) > int64(len(b)) && int64(len(b)) < g.size-c.offset:
		return read(int64(n)) // one frame larger than a chunk
	case err != nil || f.seq > upTo:
		return read(g.size) // damage: the rest, to find where it goes on
	}
	return b, nil
}

// parse takes the frames at the beginning of the chunk, which has at least one or is damaged, moves
// the cursor behind them, and gives the number of bytes.
func (s *Spool) parse(chunk []byte, g segment, upTo uint64, limit int) (int, []stream.Message) {
	c := &s.cursor
	var messages []stream.Message
	pos := 0
	defer func() {
		c.offset += int64(pos)
		if c.ahead = nil; len(chunk) <= readBytes { // else it is damaged, or one large frame
			c.ahead = chunk[pos:]
		}
	}()
	for len(messages) < limit && c.after < upTo {
		f, n, err := parseFrame(chunk[pos:])
		if err != nil || f.seq > upTo {
			if pos > 0 { // cut off by the chunk, or damaged: looked at again from there
				return pos, messages
			}
			next := findFrame(chunk[pos:], c.after, upTo)
			if next < 0 {
				next = len(chunk) - pos
			}
			s.damaged(g, c.offset+int64(pos), chunk[pos:pos+next])
			pos += next
			if pos >= len(chunk) {
				s.loseRange(g, c.after+1, upTo)
				c.after = upTo
			}
			continue
		}
		pos += n
		if f.seq <= c.after {
			continue
		}
		if f.seq > c.after+1 {
			s.loseRange(g, c.after+1, f.seq-1)
		}
		c.after = f.seq
		messages = append(messages, stream.Message{ID: f.id, Seq: f.seq, Payload: f.payload, Properties: properties})
	}
	return pos, messages
}

// damaged puts bytes aside that are no frames.
func (s *Spool) damaged(g segment, offset int64, b []byte) {
	place := damagePlace{g.first, offset}
	if s.damage[place] || len(b) == 0 {
		return
	}
	s.damage[place] = true
	s.config.Logger.Error("spool: damage in a segment, put aside", slog.String("file", g.path), slog.Int64("offset", offset), slog.Int("bytes", len(b)))
	s.count(func(c *counts) { c.damagedBytes += int64(len(b)) })
	if err := s.putAside(fmt.Sprintf("%s-%d.damage", filepath.Base(g.path), offset), b); err != nil {
		s.config.Logger.Error("spool: damage cannot be put aside", slog.Any("error", err))
	}
}

// putAside keeps data in the folder quarantine, on a full disk with the space that is kept in reserve.
func (s *Spool) putAside(name string, data []byte) error {
	dir := s.folderPath()
	err := quarantine(s.fs, dir, name, data)
	if err != nil && classify(err).Problem == ProblemFull && s.dropBallast() {
		err = quarantine(s.fs, dir, name, data)
	}
	return err
}

// loseRange counts records of the segment that are damaged, once.
func (s *Spool) loseRange(g segment, from, to uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.lostRanges {
		if r.from <= from && to <= r.to {
			return
		}
	}
	s.lostRanges = append(s.lostRanges, lostRange{from, to})
	s.config.Logger.Error("spool: records are lost to damage", slog.String("producer", s.folder.producer), slog.Uint64("from", from), slog.Uint64("to", to))
	// The times follow from the file: whoever reads it again tells the same.
	created := time.Unix(0, g.created).UTC()
	s.lose(event.Gap{Reason: event.GapDamaged, Count: to - from + 1, From: from, To: to, First: created, Last: created, Detail: "damage in segment " + filepath.Base(g.path)})
	s.skipLost()
}

// skipLost moves the acknowledged sequence over records that will never be sent. The caller holds mu.
func (s *Spool) skipLost() {
	for moved := true; moved; {
		moved = false
		for _, r := range s.lostRanges {
			if r.from <= s.acknowledged+1 && s.acknowledged < r.to {
				s.acknowledged, moved = r.to, true
			}
		}
	}
}

// Acknowledged gives the sequence up to which the stream has all records. It implements relay.Queue.
func (s *Spool) Acknowledged() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acknowledged
}

// Last gives the sequence of the newest record. It implements relay.Queue.
func (s *Spool) Last(context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

// Acknowledge says that the stream has all records up to and including seq. It implements
// relay.Queue.
func (s *Spool) Acknowledge(_ context.Context, seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq > s.last {
		return fmt.Errorf("spool: acknowledge %d, but the last record is %d", seq, s.last)
	}
	if seq > s.acknowledged {
		s.acknowledged = seq
		s.skipLost()
		failpoint.Hit(failpoint.SpoolAcked)
		s.ages.oldest(s.acknowledged)
		if s.bytes+s.reserved > s.config.MaxBytes/2 || s.problem == ProblemFull {
			s.signalRoom() // who waits for room looks again
		}
	}
	return nil
}

// Quarantine keeps a record that cannot be sent in the folder quarantine, with the reason beside it, and a
// gap record tells of it. It implements relay.Queue.
func (s *Spool) Quarantine(ctx context.Context, m stream.Message, reason error) error {
	name := fmt.Sprintf("%020d", m.Seq)
	again := !missing(s.fs, filepath.Join(s.folderPath(), quarantineName, name+".reason"))
	if err := s.putAside(name+".json", m.Payload); err != nil {
		return err
	}
	if !again { // else a gap record tells of it already, or the process ended a moment too soon
		at := s.config.Now()
		r, err := event.Decode(m.Payload)
		if err == nil {
			at = r.Timestamp // follows from the record, as the id does
		}
		if _, isGap := event.GapOf(r); isGap {
			return s.quarantined(ctx, m, name, reason) // a gap record of a gap record would go the same way
		}
		s.mu.Lock()
		s.lose(event.Gap{Reason: event.GapQuarantined, Count: 1, From: m.Seq, To: m.Seq, First: at, Last: at, Bytes: int64(len(m.Payload)), Detail: m.ID + ": " + reason.Error()})
		saved, waits := s.losses.saved, s.losses.changed
		s.mu.Unlock()
		if !waits {
			return s.quarantined(ctx, m, name, reason)
		}
		select {
		case <-saved:
		case <-s.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.quarantined(ctx, m, name, reason)
}

// quarantined writes down why, and counts the record the first time.
func (s *Spool) quarantined(ctx context.Context, m stream.Message, name string, reason error) error {
	again := !missing(s.fs, filepath.Join(s.folderPath(), quarantineName, name+".reason"))
	if err := s.putAside(name+".reason", []byte(reason.Error()+"\n")); err != nil {
		return err
	}
	s.config.Logger.ErrorContext(ctx, "spool: a record cannot be sent, put aside", slog.String("producer", s.Producer()), slog.Uint64("seq", m.Seq), slog.Any("error", reason))
	if !again {
		s.count(func(c *counts) { c.quarantined++ })
	}
	return nil
}
