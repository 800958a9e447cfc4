package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/gormtrail/audit/event"
)

// Spool is a durable queue in a folder of its own. It is an audit.Sink and a relay.Queue.
type Spool struct {
	config Config
	fs     filesystem
	parent string        // real path
	own    bool          // made by Open: it is written to, and has the parent reserved
	wake   chan struct{} // wakes run, as queue has something
	kick   chan struct{} // wakes run, as something else is to be done
	quit   chan struct{} // closed by Close: takes no more
	ended  chan struct{} // closed when run has ended
	asking sync.WaitGroup

	closing  sync.Once
	closeErr error

	reading sync.Mutex // one reader at a time; guards cursor and damage
	cursor  cursor
	damage  map[damagePlace]bool

	mark   *mark  // only run uses it
	buffer []byte // of run, for encoded frames

	mu            sync.Mutex
	queue         []*request // that run has not taken, in order
	taken         []*request // the memory of the batch before
	stopped       bool       // nothing enters the queue any more
	unsynced      uint64     // records of WriteBestEffort on their way to the disk
	unsyncedBytes int64
	folder        *folder
	segments      []segment // in order; the last one may be active
	active        file      // nil: the next commit begins a segment
	last          uint64    // highest synced sequence
	acknowledged  uint64
	indexed       uint64 // up to where the store has everything
	lostRanges    []lostRange
	losses        *losses
	lastGap       time.Time // when gap records were written
	ages          ages
	bytes         int64         // of all segments
	reserved      int64         // of records that are on their way to the disk
	changed       chan struct{} // closed and replaced when last rises
	room          chan struct{} // closed and replaced when segments went
	pressed       bool          // somebody waits for room
	reclaimed     bool          // segments went before their time
	soft          bool          // only metadata is written
	ballast       bool          // space is kept in reserve
	spent         bool          // it was given up, and records must not take it
	gone          bool          // the folder was moved away
	problem       Problem       // of the last write, or as the volume says
	free          space
	counts        counts
}

type counts struct {
	full, failed, rejected, syncErrors uint64
	cutBytes, damagedBytes             int64
	lost, quarantined, gaps, degraded  uint64
	lostWritten                        uint64 // of lost, those that had a sequence
}

// Open opens a folder below dir for this process: one that another process has left, with what is
// still in it, else a new one. dir is made if it does not exist. Close gives it back.
func Open(dir string, config Config) (*Spool, error) { return openIn(osFS{}, dir, config) }

func openIn(fsys filesystem, dir string, config Config) (*Spool, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	if err := makeParent(fsys, dir); err != nil {
		return nil, fmt.Errorf("spool: make the folder %s: %w", dir, err)
	}
	parent, err := reserve(fsys, dir)
	if err != nil {
		return nil, err
	}
	s, err := openOwn(fsys, parent, config)
	if err != nil {
		unreserve(parent)
		return nil, err
	}
	if config.Index != nil {
		s.asking.Go(s.askIndex)
	}
	return s, nil
}

// makeParent makes the folder and those above it, and their names durable.
func makeParent(fsys filesystem, dir string) error {
	var above []string
	for d := filepath.Clean(dir); missing(fsys, d) && d != filepath.Dir(d); d = filepath.Dir(d) {
		above = append(above, filepath.Dir(d))
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return err
	}
	for _, d := range above {
		if err := fsys.SyncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func openOwn(fsys filesystem, parent string, config Config) (*Spool, error) {
	if info, err := fsys.Stat(parent); err == nil && info.Mode().Perm()&0o077 != 0 {
		config.Logger.Warn("spool: others may look into the parent folder; its folders are closed to them", slog.String("folder", parent), slog.String("mode", info.Mode().Perm().String()))
	}
	dirs, err := children(fsys, parent)
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		f, err := claim(fsys, dir, config.Service)
		if err == nil && f == nil {
			continue
		}
		var s *Spool
		if err == nil {
			s, err = openFolder(fsys, parent, f, config, true)
		}
		if errors.Is(err, ErrFormat) { // of a newer version, which will read it again
			config.Logger.Warn("spool: left a folder alone", slog.String("folder", dir), slog.Any("error", err))
			continue
		}
		if errors.Is(err, errNoPosition) || errors.Is(err, fs.ErrNotExist) { // discarded, by us or by another
			continue
		}
		return s, err
	}
	if len(dirs) >= config.MaxFolders {
		return nil, fmt.Errorf("%w: %s has %d, Config.MaxFolders is %d; remove those that are of no use", ErrTooMany, parent, len(dirs), config.MaxFolders)
	}
	if 4*len(dirs) >= 3*config.MaxFolders {
		config.Logger.Warn("spool: the parent folder has nearly as many folders as it may", slog.String("folder", parent), slog.Int("folders", len(dirs)), slog.Int("limit", config.MaxFolders))
	}
	f, err := create(fsys, parent, config.Service, config.Now())
	if err != nil {
		return nil, err
	}
	return openFolder(fsys, parent, f, config, true)
}

// openFolder opens a locked folder. After an error the lock is released.
func openFolder(fsys filesystem, parent string, f *folder, config Config, own bool) (_ *Spool, err error) {
	var closers []file
	defer func() {
		if err != nil && !errors.Is(err, errNoPosition) {
			f.release()
		}
		if err != nil {
			for _, c := range closers {
				_ = c.Close() // nothing was written that counts
			}
		}
	}()
	found, err := recoverFolder(fsys, f.dir, config.Logger)
	if err != nil {
		return nil, err
	}
	m, acknowledged, valid, err := openMark(fsys, f.dir)
	if err != nil {
		return nil, err
	}
	closers = append(closers, m.file)
	if !valid && len(found.segments) == 0 && !f.fresh {
		// Which sequences the stream has under this name is not known: it would drop new records.
		f.discard(config.Logger)
		return nil, errNoPosition
	}
	l, err := openLosses(fsys, f.dir)
	if err != nil {
		return nil, err
	}
	closers = append(closers, l.file)
	s := &Spool{
		config: config, fs: fsys, parent: parent, own: own, folder: f, mark: m, losses: l,
		wake: make(chan struct{}, 1), kick: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{}),
		damage:   make(map[damagePlace]bool),
		segments: found.segments, changed: make(chan struct{}), room: make(chan struct{}),
		// Segments may be gone that were acknowledged.
		last: max(found.last, acknowledged), acknowledged: acknowledged,
	}
	if len(s.segments) > 0 { // those before it went because they were acknowledged
		s.acknowledged = max(s.acknowledged, s.segments[0].first-1)
	}
	for i, g := range s.segments {
		s.bytes += g.size
		if i+1 < len(s.segments) {
			s.ages.add(s.segments[i+1].first-1, g.created)
		} else {
			s.ages.add(s.last, g.created)
		}
	}
	// Also finds out at once whether the folder can be written.
	if err = m.save(s.acknowledged); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if found.cut > 0 {
		now := config.Now()
		s.counts.cutBytes = found.cut
		s.lose(event.Gap{Reason: event.GapTorn, First: now, Last: now, Bytes: found.cut, Detail: "cut off the end of the last segment by recovery"})
	}
	if !missing(fsys, filepath.Join(f.dir, ballastName)) {
		s.ballast = true
	}
	s.measure()
	s.writeGaps(true)
	s.saveLosses()
	s.reclaim()
	go s.run()
	return s, nil
}

// Producer gives the producer name, service/uuid. It implements relay.Queue.
func (s *Spool) Producer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folder.producer
}

// Folder gives the path of the folder.
func (s *Spool) Folder() string { return s.folderPath() }

func (s *Spool) folderPath() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.folder.dir
}

// Close stops taking records, waits until those that were taken are on the disk, and gives the folder
// back. It may be called again.
func (s *Spool) Close() error {
	s.closing.Do(func() {
		close(s.quit)
		<-s.ended
		s.asking.Wait()
		s.reading.Lock() // a reader has seen quit and ends
		s.cursor.close()
		s.reading.Unlock()
		s.dropBallast()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.active != nil {
			s.closeErr = s.active.Close()
		}
		if !s.gone {
			s.closeErr = errors.Join(s.closeErr, s.mark.save(s.acknowledged))
		}
		s.closeErr = errors.Join(s.closeErr, s.mark.file.Close(), s.losses.file.Close())
		if s.acknowledged == s.last && len(s.losses.entries) == 0 && !s.gone {
			s.closeErr = errors.Join(s.closeErr, writeFile(s.fs, filepath.Join(s.folder.dir, drainedName), drained(s.segments)))
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
