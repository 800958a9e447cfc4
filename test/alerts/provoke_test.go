package alerts_test

import (
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"

	"github.com/gormtrail/audit/telemetry"
)

// clock is a time that only the test moves on.
type clock struct {
	ns   atomic.Int64
	tick func() // is called when it moves, if it is set
}

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 11, 3, 8, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time { return time.Unix(0, c.ns.Load()).UTC() }

func (c *clock) advance(d time.Duration) {
	c.ns.Add(int64(d))
	if c.tick != nil {
		c.tick()
	}
}

// scenario makes the condition of an alert with real components.
type scenario struct {
	alert string
	// make registers healthy components, and gives what breaks them: it returns when their numbers show it.
	make func(t *testing.T, p telemetry.Providers, c *clock) (breakIt func())
	// lower replaces a threshold that nobody can wait for, in the expression: from, to.
	lower [2]string
}

const (
	interval = 30 * time.Second // of scrapes
	healthy  = 16 * time.Minute // before it breaks
	patience = 40 * time.Minute // until the alert must have fired
)

// TestAlerts_areProvoked: none fires while all is well, and each does when what it is about happens.
func TestAlerts_areProvoked(t *testing.T) {
	t.Parallel()
	all := rules(t)
	for _, r := range all {
		if !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.alert == r.Alert }) {
			t.Errorf("nothing provokes %s", r.Alert)
		}
	}
	for _, s := range scenarios {
		t.Run(s.alert, func(t *testing.T) {
			t.Parallel()
			i := slices.IndexFunc(all, func(r rule) bool { return r.Alert == s.alert })
			if i < 0 {
				t.Fatal("there is no such alert")
			}
			provoke(t, all[i], s)
		})
	}
}

func provoke(t *testing.T, r rule, s scenario) {
	t.Helper()
	d, p := newDatabase(t)
	c := newClock()
	breakIt := s.make(t, p, c)
	expr := r.Expr
	if s.lower[0] != "" {
		if expr = strings.Replace(r.Expr, s.lower[0], s.lower[1], 1); expr == r.Expr {
			t.Fatalf("no %q in %s", s.lower[0], r.Expr)
		}
	}
	// In order, no matter how the threshold was changed.
	for end := c.now().Add(healthy); c.now().Before(end); c.advance(interval) {
		d.scrape(t, c.now())
		if found := d.ask(t, r.Expr, c.now()); len(found) > 0 {
			t.Fatalf("fires while all is well: %v", found)
		}
	}
	breakIt()
	broken := c.now()
	var since time.Time
	for end := broken.Add(patience); c.now().Before(end); c.advance(interval) {
		d.scrape(t, c.now())
		found := d.ask(t, expr, c.now())
		switch {
		case len(found) == 0:
			since = time.Time{}
			continue
		case since.IsZero():
			since = c.now()
		}
		if c.now().Sub(since) >= r.pending(t) {
			t.Logf("fires %v after it broke: %v", c.now().Sub(broken), found)
			checkLabels(t, r, found)
			return
		}
	}
	var shown []string
	for _, name := range metricsOf(t, r.Alert, r.Expr) {
		for _, v := range d.ask(t, name, c.now().Add(-interval)) {
			shown = append(shown, v.String())
		}
	}
	t.Fatalf("does not fire within %v: %s\n%s", patience, expr, strings.Join(shown, "\n"))
}

var labelUse = regexp.MustCompile(`\$labels\.([a-z_]+)`)

// checkLabels: what the annotations say of the alert is known then.
func checkLabels(t *testing.T, r rule, found promql.Vector) {
	t.Helper()
	for _, text := range r.Annotations {
		for _, m := range labelUse.FindAllStringSubmatch(text, -1) {
			if !found[0].Metric.Has(m[1]) {
				t.Errorf("the annotations name the label %s, which is not among %v", m[1], found[0].Metric)
			}
		}
	}
}
