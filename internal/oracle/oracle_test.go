package oracle_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/internal/oracle"
)

type rows = map[string]oracle.Row

func TestReplay_findsWhatIsWrong(t *testing.T) {
	t.Parallel()
	keyed := oracle.Table{Name: "t", Keys: []string{"id"}}
	start := oracle.Snapshot{"t": rows{`id="1" `: {"id": "1", "v": "a"}}}
	for name, c := range map[string]struct {
		changes []oracle.Change
		end     rows
		wrong   int
	}{
		"add":               {[]oracle.Change{{Table: "t", After: oracle.Row{"id": "2", "v": "b"}}}, rows{`id="1" `: {"id": "1", "v": "a"}, `id="2" `: {"id": "2", "v": "b"}}, 0},
		"change":            {[]oracle.Change{{Table: "t", Before: oracle.Row{"id": "1", "v": "a"}, After: oracle.Row{"id": "1", "v": "b"}}}, rows{`id="1" `: {"id": "1", "v": "b"}}, 0},
		"change the key":    {[]oracle.Change{{Table: "t", Before: oracle.Row{"id": "1", "v": "a"}, After: oracle.Row{"id": "3", "v": "a"}}}, rows{`id="3" `: {"id": "3", "v": "a"}}, 0},
		"delete":            {[]oracle.Change{{Table: "t", Before: oracle.Row{"id": "1", "v": "a"}}}, rows{}, 0},
		"wrong old value":   {[]oracle.Change{{Table: "t", Before: oracle.Row{"id": "1", "v": "x"}, After: oracle.Row{"id": "1", "v": "b"}}}, rows{`id="1" `: {"id": "1", "v": "b"}}, 1},
		"no change":         {[]oracle.Change{{Table: "t", Before: oracle.Row{"id": "1", "v": "a"}, After: oracle.Row{"id": "1", "v": "a"}}}, rows{`id="1" `: {"id": "1", "v": "a"}}, 1},
		"not there":         {[]oracle.Change{{Table: "t", Before: oracle.Row{"id": "9", "v": "a"}}}, rows{`id="1" `: {"id": "1", "v": "a"}}, 1},
		"added twice":       {[]oracle.Change{{Table: "t", After: oracle.Row{"id": "1", "v": "b"}}}, rows{`id="1" `: {"id": "1", "v": "b"}}, 1},
		"unknown table":     {[]oracle.Change{{Table: "u", After: oracle.Row{}}}, rows{`id="1" `: {"id": "1", "v": "a"}}, 1},
		"no before":         {[]oracle.Change{{Table: "t", After: oracle.Row{"id": "1", "v": "b"}, NoBefore: true}}, rows{`id="1" `: {"id": "1", "v": "b"}}, 0},
		"no before, no row": {[]oracle.Change{{Table: "t", After: oracle.Row{"id": "2", "v": "b"}, NoBefore: true}}, rows{`id="1" `: {"id": "1", "v": "a"}, `id="2" `: {"id": "2", "v": "b"}}, 1},
		"no images":         {[]oracle.Change{{Table: "t"}}, rows{`id="1" `: {"id": "1", "v": "a"}}, 1},
	} {
		got, wrong := start.Replay(c.changes, keyed)
		if diff := cmp.Diff(c.end, got["t"]); diff != "" || len(wrong) != c.wrong {
			t.Errorf("%s: %v\n%s", name, wrong, diff)
		}
	}
	if diff := cmp.Diff(oracle.Snapshot{"t": rows{`id="1" `: {"id": "1", "v": "a"}}}, start); diff != "" {
		t.Error("the start was changed", diff)
	}
}

func TestReplay_withoutKeys_countsEqualRows(t *testing.T) {
	t.Parallel()
	table := oracle.Table{Name: "t"}
	start := oracle.Snapshot{"t": rows{`v="a" #0`: {"v": "a"}, `v="a" #1`: {"v": "a"}}}
	got, wrong := start.Replay([]oracle.Change{
		{Table: "t", Before: oracle.Row{"v": "a"}}, {Table: "t", Before: oracle.Row{"v": "a"}, After: oracle.Row{"v": "b"}},
	}, table)
	if len(wrong) > 0 || len(got["t"]) != 1 || got["t"][`v="b" #0`] == nil {
		t.Error(wrong, got)
	}
}
