package accounting

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
)

// Store takes records; it is the store of a consumer.
type Store interface {
	Write(ctx context.Context, docs []store.Doc) ([]store.Result, error)
}

// DeadLetters takes messages that cannot be stored; they are those of a consumer.
type DeadLetters interface {
	Append(ctx context.Context, messages ...stream.Message) error
}

// Ledger counts what has come to its end, by producer. The zero value is empty. It begins with what
// comes after its start: what a consumer before it has settled is told by Resume.
type Ledger struct {
	mu           sync.Mutex
	producers    map[string]*tally
	unattributed uint64
}

// tally is what is known of a producer.
type tally struct {
	Delivered

	settled ranges
}

// end is where a record has come.
type end int

const (
	indexed end = iota
	deadLettered
	lost
)

// Resume says that of the producer everything up to upTo is settled already, as the numbers say.
func (l *Ledger) Resume(producer string, upTo uint64, d Delivered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.tally(producer)
	t.Delivered = d
	t.settled = nil
	t.settled.add(1, upTo)
}

// tally gives that of the producer. The caller holds mu.
func (l *Ledger) tally(producer string) *tally {
	if l.producers == nil {
		l.producers = make(map[string]*tally)
	}
	t := l.producers[producer]
	if t == nil {
		t = &tally{}
		l.producers[producer] = t
	}
	return t
}

// settle counts the sequences from..to of the producer that are not counted yet.
func (l *Ledger) settle(producer string, from, to uint64, where end) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if producer == "" || from == 0 || to < from {
		l.unattributed++
		return
	}
	t := l.tally(producer)
	n := t.settled.add(from, to)
	switch where {
	case indexed:
		t.Indexed += n
	case deadLettered:
		t.DeadLettered += n
	default:
		t.Lost += n
	}
	t.Highest = max(t.Highest, to)
}

// Producers gives the numbers of all producers.
func (l *Ledger) Producers() map[string]Delivered {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]Delivered, len(l.producers))
	for name, t := range l.producers {
		all[name] = t.Delivered
	}
	return all
}

// Unattributed gives how many settled messages name no producer and sequence: those of programs that
// have no queue of ours, and what is no record.
func (l *Ledger) Unattributed() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unattributed
}

// Accounts gives the accounts of the queues, and of producers whose queue is elsewhere: these have
// emitted what has come.
func (l *Ledger) Accounts(queues ...func() Queue) []Account {
	delivered := l.Producers() // before the queues are asked
	accounts := make([]Account, 0, len(delivered))
	for _, queue := range queues {
		q := queue()
		accounts = append(accounts, Balance(q, delivered[q.Producer]))
		delete(delivered, q.Producer)
	}
	for _, name := range slices.Sorted(maps.Keys(delivered)) {
		d := delivered[name]
		accounts = append(accounts, Balance(Queue{Producer: name, Written: d.Highest}, d))
	}
	return accounts
}

// Store gives a store that counts what next says of each record.
func (l *Ledger) Store(next Store) Store { return &countedStore{l, next} }

type countedStore struct {
	ledger *Ledger
	next   Store
}

// Write implements Store.
func (s *countedStore) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	results, err := s.next.Write(ctx, docs)
	if err != nil || len(results) != len(docs) {
		return results, err
	}
	for i, r := range results {
		if r.Status != store.Stored && r.Status != store.Duplicate {
			continue
		}
		record := docs[i].Record
		s.ledger.settle(record.ProducerID, record.Seq, record.Seq, indexed)
		if gap, ok := event.GapOf(record); ok && gap.From > 0 {
			where := lost
			if gap.Reason == event.GapQuarantined {
				where = deadLettered
			}
			s.ledger.settle(gap.Producer, gap.From, gap.To, where)
		}
	}
	return results, nil
}

// DeadLetters gives dead letters that count what next has taken.
func (l *Ledger) DeadLetters(next DeadLetters) DeadLetters { return &countedLetters{l, next} }

type countedLetters struct {
	ledger *Ledger
	next   DeadLetters
}

// Append implements DeadLetters.
func (d *countedLetters) Append(ctx context.Context, messages ...stream.Message) error {
	if err := d.next.Append(ctx, messages...); err != nil {
		return err
	}
	for _, m := range messages {
		var r event.Record
		if decoded, err := event.Decode(m.Payload); err == nil { // else it is attributed to nobody
			r = decoded
		}
		d.ledger.settle(r.ProducerID, r.Seq, r.Seq, deadLettered)
	}
	return nil
}
