package oracle

import (
	"fmt"
	"sync"

	"github.com/gormtrail/audit/event"
)

// Delivery is the book of a delivery: what was attempted, what was promised, and whether what arrived
// is just that. It may be used concurrently.
type Delivery struct {
	mu      sync.Mutex
	issued  map[string]*issue // by log_id
	counter map[string]int    // records issued per object
}

// issue is a record that was attempted.
type issue struct {
	hash      string
	object    string
	number    int // among those of the object
	promised  bool
	forbidden bool
}

// Outcome is what is known of an attempt.
type Outcome int

// Outcomes. An attempt may or may not have become a record until one of the others is said.
const (
	Unknown   Outcome = iota
	Promised          // the write has returned success
	Forbidden         // it was rolled back
)

// Issue says that the record is about to be written. Records of one object are issued one after the
// other.
func (d *Delivery) Issue(r event.Record) error {
	hash, err := event.ContentHash(r)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.issued == nil {
		d.issued, d.counter = make(map[string]*issue), make(map[string]int)
	}
	if d.issued[r.LogID] != nil {
		return fmt.Errorf("oracle: record %q is issued twice", r.LogID)
	}
	object := r.ObjectType + ":" + r.ObjectID
	d.counter[object]++
	d.issued[r.LogID] = &issue{hash: hash, object: object, number: d.counter[object]}
	return nil
}

// Tell says what became of the attempts.
func (d *Delivery) Tell(outcome Outcome, ids ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if i := d.issued[id]; i != nil {
			i.promised, i.forbidden = outcome == Promised, outcome == Forbidden
		}
	}
}

// Promised gives the number of records that must arrive.
func (d *Delivery) Promised() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.issued {
		if i.promised {
			n++
		}
	}
	return n
}

// Arrivals is what a reader has found.
type Arrivals struct {
	// Records are those that were read, in the order of the stream or of each of its partitions, one
	// after the other.
	Records []event.Record
	// DeadLettered are the ids in the dead letters, Missing those that gap records name.
	DeadLettered, Missing []string
	// Partitioned says that Records are of several partitions, so that a producer's sequences rise only
	// within the records of one object.
	Partitioned bool
}

// Check compares what arrived with the book and gives what is wrong, at most ten of each kind: promised
// records that are nowhere, records that nobody wrote or that were rolled back, other content, records
// that are there twice, and a wrong order of a producer's sequences or of an object's records.
func (d *Delivery) Check(got Arrivals) []error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var w wrong
	seen := make(map[string]bool)
	sequences := make(map[string]uint64) // last one, by producer, and object if partitioned
	last := make(map[string]int)
	for _, r := range got.Records {
		i := d.issued[r.LogID]
		if i == nil {
			if r.Action != event.ActionGap {
				w.add("invented", "record %q arrived, which nobody wrote", r.LogID)
			}
			continue
		}
		if i.forbidden {
			w.add("phantom", "record %q arrived, whose write was rolled back", r.LogID)
		}
		if seen[r.LogID] {
			w.add("double", "record %q arrived twice", r.LogID)
			continue
		}
		seen[r.LogID] = true
		if hash, err := event.ContentHash(r); err != nil || hash != i.hash {
			w.add("content", "record %q arrived with other content (%v)", r.LogID, err)
		}
		if i.number <= last[i.object] {
			w.add("object order", "%s: record %q is number %d and came after number %d", i.object, r.LogID, i.number, last[i.object])
		}
		last[i.object] = i.number
		producer := r.ProducerID
		if got.Partitioned {
			producer += " " + i.object
		}
		if r.Seq <= sequences[producer] {
			w.add("sequence order", "%s: record %q has the sequence %d after %d", producer, r.LogID, r.Seq, sequences[producer])
		}
		sequences[producer] = r.Seq
	}
	elsewhere := make(map[string]bool)
	for _, ids := range [][]string{got.DeadLettered, got.Missing} {
		for _, id := range ids {
			elsewhere[id] = true
		}
	}
	for id, i := range d.issued {
		if i.promised && !seen[id] && !elsewhere[id] {
			w.add("lost", "record %q is lost, whose write had returned success", id)
		}
	}
	return w.all()
}

// wrong collects errors, a few of each kind.
type wrong struct {
	kinds  []string
	errs   map[string][]error
	counts map[string]int
}

func (w *wrong) add(kind, format string, args ...any) {
	const most = 10
	if w.errs == nil {
		w.errs, w.counts = make(map[string][]error), make(map[string]int)
	}
	if w.counts[kind] == 0 {
		w.kinds = append(w.kinds, kind)
	}
	if w.counts[kind]++; w.counts[kind] <= most {
		w.errs[kind] = append(w.errs[kind], fmt.Errorf("%s: "+format, append([]any{kind}, args...)...))
	}
}

func (w *wrong) all() (errs []error) {
	for _, kind := range w.kinds {
		errs = append(errs, w.errs[kind]...)
		if n := w.counts[kind] - len(w.errs[kind]); n > 0 {
			errs = append(errs, fmt.Errorf("%s: and %d more", kind, n))
		}
	}
	return errs
}
