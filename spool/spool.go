package spool

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gormtrail/audit/event"
)

// Spool is a durable queue in a folder of its own. It is an audit.Sink and a relay.Queue.
type Spool struct {
	config   Config
	parent   string // real path
	own      bool   // made by Open: it is written to, and has the parent reserved
	folder   *folder
	mark     *mark
	sync     func(*os.File) error // syncData; tests make it fail
	requests chan *request
	quit     chan struct{} // closed by Close: takes no more
	ended    chan struct{} // closed when run has ended

	closing  sync.Once
	closeErr error

	reading sync.Mutex // one reader at a time; guards cursor and damage
	cursor  cursor
	damage  map[damagePlace]bool

	mu           sync.Mutex
	segments     []segment // in order; the last one may be active
	active       *os.File  // nil: the next commit begins a segment
	last         uint64    // highest synced sequence
	acknowledged uint64
	lostRanges   []lostRange
	ages         ages
	bytes        int64         // of all segments
	reserved     int64         // of records that are on their way to the disk
	changed      chan struct{} // closed and replaced when last rises
	room         chan struct{} // closed and replaced when segments went
	counts       counts
}

type counts struct {
	full, failed, rejected, syncErrors uint64
	cutBytes, damagedBytes             int64
	lost, quarantined                  uint64
}

// Open opens a folder below dir for this process: one that another process has left, with what is
// still in it, else a new one. dir is made if it does not exist. Close gives it back.
func Open(dir string, config Config) (*Spool, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: make the folder %s: %w", dir, err)
	}
	parent, err := reserve(dir)
	if err != nil {
		return nil, err
	}
	s, err := openOwn(parent, config)
	if err != nil {
		unreserve(parent)
		return nil, err
	}
	return s, nil
}

func openOwn(parent string, config Config) (*Spool, error) {
	dirs, err := children(parent)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		f, err := claim(dir, config.Service)
		if err == nil && f == nil {
			continue
		}
		var s *Spool
		if err == nil {
			s, err = openFolder(parent, f, config, true)
		}
		if errors.Is(err, ErrFormat) { // of a newer version, which will read it again
			config.Logger.Warn("spool: left a folder alone", slog.String("folder", dir), slog.Any("error", err))
			continue
		}
		return s, err
	}
	f, err := create(parent, config.Service, config.Now())
	if err != nil {
		return nil, err
	}
	return openFolder(parent, f, config, true)
}

// openFolder opens a locked folder. After an error the lock is released.
func openFolder(parent string, f *folder, config Config, own bool) (*Spool, error) {
	found, err := recoverFolder(f.dir, config.Logger)
	if err != nil {
		f.release()
		return nil, err
	}
	m, acknowledged, err := openMark(f.dir)
	if err != nil {
		f.release()
		return nil, err
	}
	s := &Spool{
		config: config, parent: parent, own: own, folder: f, mark: m, sync: syncData,
		requests: make(chan *request), quit: make(chan struct{}), ended: make(chan struct{}),
		damage:   make(map[damagePlace]bool),
		segments: found.segments, changed: make(chan struct{}), room: make(chan struct{}),
		// Segments may be gone that were acknowledged.
		last: max(found.last, acknowledged), acknowledged: acknowledged,
	}
	if len(s.segments) > 0 { // those before it went because they were acknowledged
		s.acknowledged = max(s.acknowledged, s.segments[0].first-1)
	}
	s.counts.cutBytes, s.counts.lost = found.cut, found.lost
	if found.lost > 0 {
		s.lostRanges = append(s.lostRanges, lostRange{found.last - found.lost + 1, found.last})
	}
	for i, g := range s.segments {
		s.bytes += g.size
		if i+1 < len(s.segments) {
			s.ages.add(s.segments[i+1].first-1, g.created)
		} else {
			s.ages.add(s.last, g.created)
		}
	}
	s.skipLost()
	go s.run()
	return s, nil
}

// Producer gives the producer name, service/uuid. It implements relay.Queue.
func (s *Spool) Producer() string { return s.folder.producer }

// Folder gives the path of the folder.
func (s *Spool) Folder() string { return s.folder.dir }

// Close stops taking records, waits until those that were taken are on the disk, and gives the folder
// back. It may be called again.
func (s *Spool) Close() error {
	s.closing.Do(func() {
		close(s.quit)
		<-s.ended
		s.reading.Lock() // a reader has seen quit and ends
		s.cursor.close()
		s.reading.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.active != nil {
			s.closeErr = s.active.Close()
		}
		if err := s.mark.save(s.acknowledged); err != nil {
			s.closeErr = errors.Join(s.closeErr, err)
		}
		s.closeErr = errors.Join(s.closeErr, s.mark.file.Close())
		if s.acknowledged == s.last {
			s.closeErr = errors.Join(s.closeErr, os.WriteFile(filepath.Join(s.folder.dir, drainedName), drained(s.segments), 0o600))
		}
		s.folder.release()
		if s.own {
			unreserve(s.parent)
		}
		if s.closeErr != nil {
			s.closeErr = fmt.Errorf("spool: close: %w", s.closeErr)
		}
	})
	return s.closeErr
}

// Orphans gives the folders below the same parent that other processes have left and that have
// records which are not acknowledged, opened for reading to the end: Read gives io.EOF there, Write
// ErrClosed. The caller closes them. Folders of running processes are never among them.
func (s *Spool) Orphans() ([]*Spool, error) { return Orphans(s.parent, s.config) }

// Orphans gives the left folders below dir as the method does, without a spool of one's own.
func Orphans(dir string, config Config) ([]*Spool, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	dirs, err := children(dir)
	if err != nil {
		return nil, err
	}
	var orphans []*Spool
	var errs []error
	for _, child := range dirs {
		f, err := claim(child, config.Service)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if f == nil {
			continue
		}
		if idle(child) {
			f.release()
			continue
		}
		s, err := openFolder(dir, f, config, false)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if s.Stats().Pending > 0 {
			orphans = append(orphans, s)
			continue
		}
		s.maintain() // its acknowledged segments go by age
		errs = append(errs, s.Close())
	}
	return orphans, errors.Join(errs...)
}

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
	// in the folder quarantine. Lost counts the records in it that were whole once.
	CutBytes, DamagedBytes int64
	Lost                   uint64
	// Quarantined counts the records that cannot be sent.
	Quarantined uint64
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
	}
	if oldest, ok := s.ages.oldest(s.acknowledged); ok && stats.Pending > 0 {
		stats.OldestPending = max(0, s.config.Now().Sub(time.Unix(0, oldest)))
	}
	return stats
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
