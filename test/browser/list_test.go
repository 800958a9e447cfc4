package browser

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// onlyText is a condition: there are rows, and in all of them the cell has the text.
func onlyText(cell, text string) string {
	return "document.querySelectorAll('tr[data-id]').length > 0 && !document.querySelector('[aria-busy]') && [...document.querySelectorAll('tr[data-id] " + cell +
		"')].every((e) => e.innerText.includes('" + text + "'))"
}

const quiet = "document.querySelector('#results') && !document.querySelector('#results[aria-busy]')"

func TestFilters_areInTheAddress_andBackWorks(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	search := func() string { return tb.eval("decodeURIComponent(location.search)") }

	tb.click(`.chip[data-action="CHANGE"]`)
	tb.wait(onlyText("td.what", "CHANGE"))
	if got := search(); got != "?action=CHANGE" {
		t.Errorf("the address has %q", got)
	}
	tb.click(`.chip[data-action="DELETE"]`)
	tb.wait("location.search.includes('DELETE') && " + quiet)
	if got := tb.texts("td.what"); !slices.Contains(got, "DELETE") || !slices.Contains(got, "CHANGE") {
		t.Errorf("two actions show %v", got)
	}
	tb.click(`.chip[data-action="DELETE"]`)
	tb.wait(onlyText("td.what", "CHANGE"))
	tb.typeInto("#f-object_type", "customer\r")
	tb.wait(onlyText("td.object", "customer") + " && location.search.includes('object_type=customer')")
	if got := search(); got != "?action=CHANGE&object_type=customer" {
		t.Errorf("the address has %q", got)
	}
	tb.typeInto("#f-user_id", "7\r")
	tb.wait(onlyText("td.who", "Ann Lee") + " && location.search.includes('user_id=7')")
	tb.typeInto("#f-search_term", "smith")
	tb.wait(onlyText("td.object", "John Smith") + " && location.search.includes('search_term=smith')")
	tb.picture("filtered")
	shared := tb.location()
	count := tb.texts(".summary strong")[0]

	for _, want := range []string{"?action=CHANGE&object_type=customer&user_id=7", "?action=CHANGE&object_type=customer", "?action=CHANGE"} {
		tb.run(chromedp.NavigateBack())
		tb.wait("decodeURIComponent(location.search) === '" + want + "' && " + quiet)
	}
	if got := tb.eval("document.querySelector('#f-object_type').value + document.querySelector('#f-search_term').value"); got != "" {
		t.Errorf("after going back the fields have %q", got)
	}
	tb.wait(onlyText("td.what", "CHANGE"))

	tb.open(strings.TrimPrefix(shared, a.url))
	tb.wait(onlyText("td.object", "John Smith"))
	if got := tb.eval("['user_id', 'object_type', 'search_term'].map((n) => document.querySelector('#f-' + n).value).join() + document.querySelector('.chip[aria-pressed=true]').innerText"); got != "7,customer,smithCHANGE" {
		t.Errorf("the shared address fills the fields with %q", got)
	}
	if got := tb.texts(".summary strong")[0]; got != count {
		t.Errorf("the shared address finds %s, before %s", got, count)
	}
	tb.click(".summary a.button")
	tb.wait("location.search === '' && document.querySelector('.summary strong').innerText === '140 records'")
	tb.noViolations()
}

func TestDays(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newApp(t, trail(now))
	zone, err := time.LoadLocation("Asia/Ho_Chi_Minh")
	if err != nil {
		t.Fatal(err)
	}
	tb := signedIn(t, a)
	tb.click(`.chip[data-back="6"]`)
	tb.wait("location.search.startsWith('?from_date=') && " + quiet)
	if got, want := tb.eval("location.search"), "?from_date="+now.In(zone).AddDate(0, 0, -6).Format("2006-01-02"); got != want {
		t.Errorf("the last seven days are %s, want %s", got, want)
	}
	tb.click(`.chip[data-back="6"]`)
	tb.wait("location.search === '' && " + quiet)
	// The heading and the clock are those of the application's zone, not the browser's.
	newest := now.Add(-time.Minute).In(zone)
	if got := tb.eval("document.querySelector('td.when time').innerText"); got != newest.Format("15:04:05") {
		t.Errorf("the newest record is at %s, want %s", got, newest.Format("15:04:05"))
	}
	if got := tb.eval("document.querySelector('td.when time').title"); !strings.Contains(got, "UTC+07:00") || !strings.Contains(got, newest.UTC().Format("2006-01-02T15:04:05")) {
		t.Errorf("the exact time is %q", got)
	}
}

func TestPages_byCursor(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	ids := func() string {
		return tb.eval("[...document.querySelectorAll('tr[data-id]')].map((e) => e.dataset.id).join()")
	}
	first := ids()
	tb.click("a[rel=next]")
	tb.wait("location.search.includes('cursor=') && document.querySelector('a[rel=prev]') && " + quiet)
	second := ids()
	tb.key("n")
	tb.wait("!document.querySelector('a[rel=next]') && " + quiet)
	third := ids()
	all := strings.Split(strings.Join([]string{first, second, third}, ","), ",")
	slices.Sort(all)
	if len(slices.Compact(all)) != 140 {
		t.Errorf("three pages have %d records, want 140, each once", len(slices.Compact(all)))
	}
	tb.key("p")
	tb.wait("document.querySelector('a[rel=next]') && " + quiet)
	if ids() != second {
		t.Error("the page before the last is another one than on the way there")
	}
	tb.run(chromedp.NavigateBack())
	tb.wait("!document.querySelector('a[rel=next]') && " + quiet)
	if ids() != third {
		t.Error("back in the browser shows another page")
	}
	tb.allow("400")
	tb.open("/audit/?cursor=AAAA")
	tb.wait("document.querySelector('.state.error')")
	tb.click(".state.error a.button")
	tb.wait("document.querySelectorAll('tr[data-id]').length === 50 && location.search === ''")
	tb.click(".sort")
	tb.wait("location.search === '?sort=timestamp' && " + quiet)
	if got := tb.eval("document.querySelector('th[aria-sort]').getAttribute('aria-sort')"); got != "ascending" {
		t.Errorf("aria-sort is %q", got)
	}
	if !strings.HasSuffix(third, strings.Split(ids(), ",")[0]) {
		t.Error("the oldest record is not the first one now")
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	tb.open("/audit/?user_id=nobody&search_term=zzz&from_date=2026-01-01")
	tb.wait("document.querySelector('.state')")
	tb.picture("empty")
	if got := strings.Join(tb.texts(".state"), " "); !strings.Contains(got, "No records match") || !strings.Contains(got, "nobody") || !strings.Contains(got, "1 January 2026") {
		t.Errorf("the empty list says %q", got)
	}
	for range 2 {
		tb.click(".state .pill")
		tb.wait(quiet)
	}
	tb.wait("location.search === '?from_date=2026-01-01' && document.querySelectorAll('tr[data-id]').length === 50")

	tb.allow("400")
	tb.open("/audit/?from_date=2026-13-01&nonsense=1")
	tb.wait("document.querySelector('.state.error')")
	tb.picture("bad-parameters")
	if got := strings.Join(tb.texts(".state.error li"), " "); !strings.Contains(got, "nonsense there is no such parameter") || !strings.Contains(got, "YYYY-MM-DD") {
		t.Errorf("the error says %q", got)
	}

	tb.allow("503")
	tb.open("/audit/")
	tb.wait("document.querySelector('tr[data-id]')")
	a.down.Store(true)
	tb.key("r")
	tb.wait("document.querySelector('.state.error') && !document.querySelector('.histogram[aria-busy], .facets[aria-busy]')")
	tb.picture("store-down")
	if got := strings.Join(tb.texts(".state.error"), " "); !strings.Contains(got, "The store is not available") {
		t.Errorf("the error says %q", got)
	}
	a.down.Store(false)
	tb.click(".state.error button")
	tb.wait("document.querySelectorAll('tr[data-id]').length === 50")
	tb.noViolations()
}

func TestStates_nothingRecordedYet(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	tb := signedIn(t, a)
	tb.wait("document.querySelector('.state')")
	if got := strings.Join(tb.texts(".state h2"), " "); got != "Nothing is recorded yet" {
		t.Errorf("the page says %q", got)
	}
}
