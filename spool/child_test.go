package spool_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/gormtrail/audit/spool"
)

// child is the process that is killed: it writes from several goroutines and prints the id of each
// record whose Write has returned.
func child(dir string) {
	s, err := spool.Open(dir, spool.Config{Logger: quiet, SegmentBytes: 16 << 10, MaxBytes: 64 << 20})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("producer", s.Producer())
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", os.Getenv("SPOOL_TEST_ROUND"), g, i)
				if err := s.Write(context.Background(), records(0, 0)[:0]); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				r := record(id)
				if err := s.Write(context.Background(), append(records(0, 0)[:0], r)); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Println("written", id)
			}
		})
	}
	wg.Wait()
}

func TestKilledProcess_losesNothingThatWasWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	written := make(map[string]bool)
	producer := ""
	const rounds = 8
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SPOOL_TEST_CHILD="+dir, fmt.Sprintf("SPOOL_TEST_ROUND=%d", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killed := false
		for n, lines := 0, bufio.NewScanner(out); lines.Scan(); {
			word, rest, _ := strings.Cut(lines.Text(), " ")
			switch word {
			case "producer":
				if producer != "" && rest != producer {
					t.Errorf("round %d: producer %s, want that of the killed process, %s", round, rest, producer)
				}
				producer = rest
			case "written":
				written[rest] = true
				if n++; n >= 50+37*(round%8) && !killed {
					killed = true
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			default:
				t.Fatalf("child: %s", lines.Text())
			}
		}
		_ = cmd.Wait() // it was killed
	}
	s := open(t, dir, spool.Config{})
	if s.Producer() != producer {
		t.Errorf("producer %s, want %s", s.Producer(), producer)
	}
	there := make(map[string]int)
	for _, r := range readAll(t, s, 0) { // which checks that no sequence is missing or twice
		there[r.LogID]++
	}
	for id := range written {
		if there[id] != 1 {
			t.Errorf("record %s, whose Write had returned, is there %d times", id, there[id])
		}
	}
	for id, n := range there {
		if n != 1 {
			t.Errorf("record %s is there %d times", id, n)
		}
	}
	t.Logf("%d kills, %d records written, %d there", rounds, len(written), len(there))
}
