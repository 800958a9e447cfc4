package accounting

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gormtrail/audit/internal/rabbittest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := rabbittest.Leaks(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

func TestBalance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		queue     Queue
		delivered Delivered
		want      Account
		wrong     string
	}{
		"nothing": {Queue{}, Delivered{}, Account{}, ""},
		"all on its way": {
			Queue{Written: 10, Pending: 4, PendingBytes: 7, OldestPending: time.Second, ConfirmAge: time.Minute},
			Delivered{},
			Account{Emitted: 10, Pending: 10, InQueue: 4, OnStream: 6, PendingBytes: 7, OldestPending: time.Second, ConfirmAge: time.Minute},
			"",
		},
		"all there": {Queue{Written: 10}, Delivered{Indexed: 10, Highest: 10}, Account{Emitted: 10, Indexed: 10}, ""},
		"stored before the confirm came": {
			Queue{Written: 10, Pending: 4},
			Delivered{Indexed: 8, Highest: 8},
			Account{Emitted: 10, Indexed: 8, Pending: 2, InQueue: 2},
			"",
		},
		"refused and lost": {
			Queue{Written: 10, Refused: 3, LostWritten: 2, Quarantined: 1},
			Delivered{Indexed: 5, DeadLettered: 1, Highest: 9},
			Account{Emitted: 13, Indexed: 5, DeadLettered: 1, Lost: 5, Pending: 2, OnStream: 2},
			"",
		},
		"the other end knows more than a queue that has begun anew": {
			Queue{Written: 10},
			Delivered{Indexed: 6, DeadLettered: 1, Lost: 3, Highest: 10},
			Account{Emitted: 10, Indexed: 6, DeadLettered: 1, Lost: 3},
			"",
		},
		"somebody else writes": {
			Queue{Producer: "p", Written: 10},
			Delivered{Indexed: 11, Highest: 11},
			Account{Producer: "p", Emitted: 10, Indexed: 11},
			`producer "p"`,
		},
		"a sequence that was never given": {Queue{Written: 10}, Delivered{Indexed: 1, Highest: 1 << 62}, Account{Emitted: 10, Indexed: 1}, "too many"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Balance(c.queue, c.delivered)
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreUnexported(Account{})); diff != "" {
				t.Error(diff)
			}
			err := got.Check()
			if (err != nil) != (c.wrong != "") || err != nil && (!errors.Is(err, ErrUnbalanced) || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("Check: %v, want %q", err, c.wrong)
			}
			if err == nil && got.Emitted != got.Indexed+got.Pending+got.DeadLettered+got.Lost {
				t.Errorf("not balanced: %+v", got)
			}
		})
	}
}

// TestRanges compares the set with one that has every number.
func TestRanges(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var r ranges
		naive := make(map[uint64]bool)
		for range 60 {
			from := 1 + random.Uint64N(50)
			to := from + random.Uint64N(6)
			var want uint64
			for n := from; n <= to; n++ {
				if !naive[n] {
					naive[n] = true
					want++
				}
			}
			if got := r.add(from, to); got != want {
				t.Fatalf("add %d to %d: %d new, want %d; %v", from, to, got, want, r)
			}
			var count uint64
			for i, s := range r {
				count += s.to - s.from + 1
				if s.to < s.from || i > 0 && s.from <= r[i-1].to+1 {
					t.Fatalf("not in order, or touching: %v", r)
				}
			}
			if count != uint64(len(naive)) {
				t.Fatalf("%v has %d, want %d", r, count, len(naive))
			}
		}
	}
}

func TestLedger_resumes(t *testing.T) {
	t.Parallel()
	var l Ledger
	l.Resume("p", 100, Delivered{Indexed: 98, DeadLettered: 1, Lost: 1, Highest: 100})
	l.settle("p", 90, 110, indexed)
	l.settle("", 0, 0, deadLettered)
	l.settle("q", 1, 1, lost)
	want := map[string]Delivered{"p": {Indexed: 108, DeadLettered: 1, Lost: 1, Highest: 110}, "q": {Lost: 1, Highest: 1}}
	if diff := cmp.Diff(want, l.Producers()); diff != "" || l.Unattributed() != 1 {
		t.Error(diff, l.Unattributed())
	}
	accounts := l.Accounts(func() Queue { return Queue{Producer: "p", Written: 112, Pending: 1} })
	if len(accounts) != 2 || accounts[0].Pending != 2 || accounts[1].Producer != "q" || accounts[1].Check() != nil {
		t.Errorf("%+v", accounts)
	}
}
