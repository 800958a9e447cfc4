//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Enabled says whether the process was built with the tag failpoint.
const Enabled = true

// Hit marks the place. It kills the process or sleeps if AUDIT_FAILPOINT says so.
func Hit(p Point) { _ = pass(p) }

// Err marks a place that can fail: as Hit, and it gives ErrInjected if AUDIT_FAILPOINT says so.
func Err(p Point) error { return pass(p) }

// rule is one entry of AUDIT_FAILPOINT.
type rule struct {
	point  Point
	n      uint64 // 0: every time
	action string
	sleep  time.Duration
}

var state = struct {
	sync.Mutex
	hits map[Point]uint64
}{hits: make(map[Point]uint64)}

var rules = sync.OnceValue(func() []rule {
	parsed, err := parse(os.Getenv(Env))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return parsed
})

func pass(p Point) error {
	for _, r := range rules() {
		if r.point != p {
			continue
		}
		state.Lock()
		state.hits[p]++
		n := state.hits[p]
		state.Unlock()
		if r.n != 0 && r.n != n {
			return nil
		}
		switch r.action {
		case "kill":
			kill()
		case "sleep":
			time.Sleep(r.sleep)
		case "error":
			return fmt.Errorf("%w at %s", ErrInjected, p)
		}
		return nil
	}
	return nil
}

// kill ends the process without any last words, as kill -9 does.
func kill() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // the signal arrives at once, but nothing else may happen before
}

func parse(value string) ([]rule, error) {
	var parsed []rule
	for entry := range strings.SplitSeq(value, ";") {
		if entry == "" {
			continue
		}
		place, action, ok := strings.Cut(entry, "=")
		if !ok {
			return nil, fmt.Errorf("failpoint: %s has %q, want point[:n]=action", Env, entry)
		}
		name, count, counted := strings.Cut(place, ":")
		r := rule{point: Point(name), n: 1}
		if !slices.Contains(Points(), r.point) {
			return nil, fmt.Errorf("failpoint: %s has the point %q, want one of %v", Env, name, Points())
		}
		for _, other := range parsed {
			if other.point == r.point {
				return nil, fmt.Errorf("failpoint: %s has the point %q twice", Env, name)
			}
		}
		if counted && count == "*" {
			r.n = 0
		} else if counted {
			n, err := strconv.ParseUint(count, 10, 64)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("failpoint: %s has the count %q, want * or a number from 1", Env, count)
			}
			r.n = n
		}
		var err error
		if r.action, r.sleep, err = parseAction(action); err != nil {
			return nil, err
		}
		parsed = append(parsed, r)
	}
	return parsed, nil
}

func parseAction(text string) (action string, sleep time.Duration, err error) {
	action, argument, has := strings.Cut(text, ":")
	switch {
	case (action == "kill" || action == "error") && !has:
		return action, 0, nil
	case action == "sleep":
		if sleep, err = time.ParseDuration(argument); err == nil && sleep > 0 {
			return action, sleep, nil
		}
	}
	return "", 0, fmt.Errorf("failpoint: %s has the action %q, want kill, error or sleep:<duration>", Env, text)
}
