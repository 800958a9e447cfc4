package rabbit

import (
	"math/rand/v2"
	"testing"
)

func TestWindow_givesTheContiguousPrefix(t *testing.T) {
	t.Parallel()
	var w window
	for _, seq := range []uint64{1, 2, 5, 6, 9} {
		w.add(seq)
	}
	for _, step := range []struct{ confirm, want uint64 }{{2, 0}, {1, 2}, {9, 0}, {6, 0}, {5, 9}} {
		if got := w.confirm(step.confirm); got != step.want {
			t.Errorf("confirm(%d) = %d, want %d", step.confirm, got, step.want)
		}
	}
	if w.len() != 0 || len(w.early) != 0 {
		t.Errorf("left over: %v, %v", w.open, w.early)
	}
}

func TestWindow_dropTakesAwayTheEnd(t *testing.T) {
	t.Parallel()
	var w window
	for seq := range uint64(5) {
		w.add(seq + 1)
	}
	w.drop(4)
	if got := w.confirm(1); got != 1 || w.len() != 2 {
		t.Errorf("confirm(1) = %d with %d left, want 1 with 2", got, w.len())
	}
	w.drop(1)
	if w.len() != 0 {
		t.Errorf("%d left, want 0", w.len())
	}
}

func TestWindow_anyOrder(t *testing.T) {
	t.Parallel()
	for range 200 {
		var w window
		n := 1 + rand.IntN(30)
		confirmed := make([]bool, n+1)
		for seq := 1; seq <= n; seq++ {
			w.add(uint64(seq))
		}
		prefix := 0
		for _, i := range rand.Perm(n) {
			confirmed[i+1] = true
			was := prefix
			for prefix < n && confirmed[prefix+1] {
				prefix++
			}
			want := uint64(0)
			if prefix > was {
				want = uint64(prefix)
			}
			if got := w.confirm(uint64(i + 1)); got != want {
				t.Fatalf("confirm(%d) = %d, want %d", i+1, got, want)
			}
		}
	}
}
