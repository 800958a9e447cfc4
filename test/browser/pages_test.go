package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

// family gives the records of an employee with a dependent, whom one transaction changes together.
func family(now time.Time) []event.Record {
	at := func(minutes int) time.Time {
		return now.Add(-time.Duration(minutes) * time.Minute).Truncate(time.Millisecond)
	}
	text := func(field, old, value string) event.Change {
		c := event.Change{Field: field, Label: strings.ToUpper(field[:1]) + field[1:], Type: event.TypeString}
		if old != "" {
			c.Old = raw(old)
		}
		if value != "" {
			c.New = raw(value)
		}
		return c
	}
	record := func(id, tx string, minutes int, action event.Action, changes ...event.Change) event.Record {
		return event.Record{
			LogID: id, Timestamp: at(minutes), Action: action, ObjectType: "employee", ObjectID: "5", ObjectRepr: "Trần Thị Hoa", UserID: "7", Username: "ann.lee", FullName: "Ann Lee",
			TxID: tx, Changes: changes, ChangeMessage: event.TextMessage("see changes"), RequestID: "req-" + tx,
		}
	}
	part := func(r event.Record) event.Record {
		r.SourceModel, r.SourcePK, r.SourceRepr = "employeedependent", "8", "Lan"
		return r
	}
	return []event.Record{
		record("h1", "t1", 300, event.ActionAdd, text("name", "", "Trần Thị Hoa"), text("city", "", "Hanoi"), text("notes", "", "Works from the office on Mondays. Speaks English.")),
		record("h2", "t2", 200, event.ActionChange, text("city", "Hanoi", "Huế")),
		part(record("h2p", "t2", 200, event.ActionAdd, text("name", "", "Lan"), text("school", "", "Primary"))),
		record("h3", "t3", 100, event.ActionChange, text("city", "Huế", "Đà Nẵng"), text("notes", "Works from the office on Mondays. Speaks English.", "Works from home on Mondays. Speaks English.")),
		part(record("h4p", "t4", 50, event.ActionChange, text("school", "Primary", "Secondary"))),
	}
}

func TestObject_historyAndCompare(t *testing.T) {
	t.Parallel()
	a := newApp(t, family(time.Now()))
	tb := signedIn(t, a)
	// In the list the dependent stands under the record of its parent.
	if got := tb.eval("[...document.querySelectorAll('tr[data-id]')].map((e) => e.dataset.id + (e.classList.contains('under') ? '<' : '')).join()"); got != "h4p,h3,h2,h2p<,h1" {
		t.Errorf("the list is %s", got)
	}
	if got := tb.texts(`tr[data-id=h2p] .part`); len(got) != 1 || got[0] != "↳ employeedependent · Lan" {
		t.Errorf("the dependent is shown as %q", got)
	}
	tb.click("tr[data-id=h3] a.open")
	tb.wait("document.querySelector('#record-title')")
	tb.click(`.record .related a[href*="view=object"]`)
	tb.wait("document.querySelector('#page-title') && document.activeElement.id === 'page-title'")
	tb.picture("history")
	if got := tb.eval("document.querySelector('#page-title').innerText + [...document.querySelectorAll('.events > li')].map((li) => [...li.querySelectorAll('.event')].map((e) => e.dataset.id).join('>')).join()"); got != "Trần Thị Hoah4p,h3,h2>h2p,h1" {
		t.Errorf("the history is %s", got)
	}
	if got := tb.texts(".compare > .changes tbody tr"); cmp.Diff([]string{"City city Đà Nẵng", "Name name Trần Thị Hoa", "Notes notes Works from home on Mondays. Speaks English."}, got) != "" {
		t.Errorf("the state is %q", got)
	}
	// Any two states.
	tb.click(".event[data-id=h1] input[name=state-a]")
	tb.wait("location.search.includes('&a=') && document.querySelector('.sides') && !document.querySelector('#page[aria-busy]')")
	tb.click(".event[data-id=h3] input[name=state-b]")
	tb.wait("location.search.includes('&b=') && !document.querySelector('#page[aria-busy]') && document.querySelector('.event[data-id=h3] input[name=state-b]').checked")
	tb.run(script("window.scrollTo(0, 0)"))
	tb.picture("compare")
	if diff := cmp.Diff([]string{
		"City city Hanoi Đà Nẵng",
		"Notes notes Works from the office on Mondays. Speaks English. Works from home on Mondays. Speaks English.",
	}, tb.texts(".compare > .changes tbody tr")); diff != "" {
		t.Error(diff)
	}
	if got := tb.texts(".compare mark"); cmp.Diff([]string{"the office", "home"}, got) != "" {
		t.Errorf("marked is %q", got)
	}
	if got := tb.texts(".compare .dependent h3")[0]; !strings.Contains(got, "Lan") || !strings.Contains(got, "only in B") {
		t.Errorf("the dependent says %q", got)
	}
	if got := tb.texts(".unchanged summary")[0]; got != "1 value is the same" {
		t.Errorf("the same is %q", got)
	}
	shared := strings.TrimPrefix(tb.location(), a.url)
	tb.open(shared)
	tb.wait("document.querySelector('.sides') && document.querySelectorAll('.compare > .changes tbody tr').length === 2")
	// Before the first record there is no state, and the page says so.
	tb.allow("404")
	tb.open("/audit/?view=object&object_type=employee&object_id=5&a=2020-01-01T00:00:00Z")
	tb.wait("document.querySelector('.sides .notice')")
	tb.click("#page > a")
	tb.wait("document.querySelector('tr[data-id]') && document.querySelector('#page').hidden && " + quiet)
	tb.noViolations()
}

// batchRecords gives a batch that has ended, and one that is under way.
func batchRecords(now time.Time) []event.Record {
	var out []event.Record
	for i := range 30 {
		out = append(out, event.Record{
			LogID: fmt.Sprintf("import-%02d", i), Timestamp: now.Add(-time.Hour + time.Duration(i)*time.Second), Action: event.ActionAdd, ObjectType: "customer", ObjectID: fmt.Sprint(i),
			ObjectRepr: fmt.Sprintf("Customer %d", i), BatchID: "import-7", BatchAction: event.ActionImport, FullName: "Ann Lee", UserID: "7", ChangeMessage: event.TextMessage(event.TextCreated),
		})
	}
	errs := make([]string, 24)
	for i := range errs {
		errs[i] = fmt.Sprintf("row %d: <b>no name</b>", i*3+2)
	}
	return append(out,
		event.Record{
			LogID: "import-sum", Timestamp: now.Add(-time.Hour + 90*time.Second), Action: event.ActionImport, ObjectType: "customer", BatchID: "import-7", BatchAction: event.ActionImport, FullName: "Ann Lee",
			BatchSummary: true, TotalProcessed: 54, ErrorCount: 24, Errors: errs, ChangeMessage: event.TextMessage("Imported 54 rows"),
		},
		event.Record{LogID: "running-1", Timestamp: now, Action: event.ActionAdd, ObjectType: "order", ObjectID: "1", BatchID: "running", BatchAction: event.ActionImport, ChangeMessage: event.TextMessage(event.TextCreated)})
}

func TestBatch_progressErrorsAndRecords(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newApp(t, batchRecords(now))
	tb := signedIn(t, a)
	tb.open("/audit/?record=import-03")
	tb.wait("document.querySelector('#record-title')")
	tb.run(script(`document.querySelector('.record .related a[href*="view=batch"]').click()`))
	tb.wait("document.querySelector('#page-title') && document.querySelector('#page .records')")
	tb.picture("batch")
	if got := tb.texts(".progress-text")[0]; got != "54 processed, 30 without an error, 24 with one" {
		t.Errorf("the progress is %q", got)
	}
	if got := tb.eval("Math.round(document.querySelector('.parts-bar .wrong').offsetWidth / document.querySelector('.parts-bar').offsetWidth * 54)"); got != "24" {
		t.Errorf("the bar shows %s of 54 with an error", got)
	}
	if got := tb.texts(".facts dd")[2]; got != "1 min 30 s" {
		t.Errorf("it took %q", got)
	}
	if got := tb.texts(".errors li"); len(got) != 20 || got[0] != "row 2: <b>no name</b>" {
		t.Errorf("the errors are %q", got)
	}
	tb.run(script("document.querySelector('.errors + button').click()"))
	tb.wait("document.querySelectorAll('.errors li').length === 24")
	if got := tb.eval("document.querySelectorAll('#page tr[data-id]').length"); got != "31" {
		t.Errorf("the batch has %s records", got)
	}
	tb.run(script("document.querySelector('#page tr[data-id=\"import-05\"] a.open').click()"))
	tb.wait("document.querySelector('#record-title')?.innerText.includes('Customer 5')")

	// One that is under way comes up to date by itself.
	tb.open("/audit/?view=batch&batch_id=running")
	tb.wait("document.querySelector('.progress-text')?.innerText === 'Under way: 1 record so far'")
	a.write(event.Record{LogID: "running-2", Timestamp: now.Add(time.Second), Action: event.ActionAdd, ObjectType: "order", ObjectID: "2", BatchID: "running", BatchAction: event.ActionImport, ChangeMessage: event.TextMessage(event.TextCreated)},
		event.Record{LogID: "running-3", Timestamp: now.Add(2 * time.Second), Action: event.ActionImport, ObjectType: "order", BatchID: "running", BatchAction: event.ActionImport, BatchSummary: true, TotalProcessed: 2, ChangeMessage: event.TextMessage("Imported 2 rows")})
	tb.wait("document.querySelector('.progress-text').innerText.startsWith('2 processed, 2 without')")
	tb.allow("404")
	tb.open("/audit/?view=batch&batch_id=none")
	tb.wait("document.querySelector('#page .state.error')")
	tb.noViolations()
}

func TestLive_recordsAppear(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newApp(t, trail(now))
	tb := signedIn(t, a)
	tb.open("/audit/?object_type=customer")
	tb.wait(quiet + " && document.querySelector('tr[data-id]')")
	tb.key("l")
	tb.wait("location.search.includes('live=1') && document.querySelector('.live').dataset.state === 'on' && " + quiet)
	before := tb.eval("document.querySelectorAll('tr[data-id]').length")
	fresh := func(id, kind string) event.Record {
		return event.Record{LogID: id, Timestamp: time.Now(), Action: event.ActionAdd, ObjectType: kind, ObjectID: "99", ObjectRepr: "New " + id, FullName: "Ann Lee", ChangeMessage: event.TextMessage(event.TextCreated)}
	}
	a.write(fresh("other", "order"), fresh("fresh-1", "customer"))
	tb.wait("document.querySelector('tr[data-id]').dataset.id === 'fresh-1'")
	a.write(fresh("fresh-2", "customer"))
	tb.wait("document.querySelector('tr[data-id]').dataset.id === 'fresh-2'")
	tb.picture("live")
	if got := tb.eval("document.querySelectorAll('tr[data-id]').length + '-' + !!document.querySelector('tr[data-id=other]')"); got == before+"-true" || strings.HasSuffix(got, "true") {
		t.Errorf("a record that the filters leave out is there: %s", got)
	}
	tb.click(".live")
	tb.wait("!location.search.includes('live') && !document.querySelector('.live').dataset.state")
	tb.noViolations()
}

func TestExport_copyAndFiles(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	tb.run(script(`navigator.clipboard.writeText = async (text) => { window.copied = text; }`))
	tb.click(`.chip[data-action="DELETE"]`)
	tb.wait(onlyText("td.what", "DELETE"))
	tb.key("e")
	tb.wait("document.querySelector('.menu').open")
	tb.picture("export")
	shown := strings.TrimSuffix(tb.texts(".summary strong")[0], " records")
	if got := tb.texts(".popup p")[0]; got != shown+" records match." {
		t.Errorf("the menu says %q", got)
	}
	for format, count := range map[string]string{"csv": ".trim().split(/\\r?\\n/).length - 1", "ndjson": ".trim().split('\\n').filter((l) => JSON.parse(l).log_id).length"} {
		tb.run(script(fmt.Sprintf("window.file = null, fetch(document.querySelector('[data-format=%s]').href).then((r) => r.text()).then((text) => { window.file = text; })", format)))
		tb.wait("window.file !== null")
		if got := tb.eval("window.file" + count); got != shown {
			t.Errorf("%s has %s records, the list says %s", format, got, shown)
		}
		if got := tb.eval(fmt.Sprintf("document.querySelector('[data-format=%s]').hasAttribute('download')", format)); got != "true" {
			t.Errorf("%s is no download", format)
		}
	}
	tb.click(".popup .tools:last-child button:first-child")
	tb.wait("window.copied")
	if got := tb.eval("window.copied"); got != fmt.Sprintf(`curl -H "Authorization: Bearer $AUDIT_TOKEN" '%s/audit/api/search/?action=DELETE&page_size=50'`, a.url) {
		t.Errorf("copied %s", got)
	}
	tb.run(script("window.copied = ''"))
	tb.click(".popup .tools:last-child button:last-child")
	tb.wait("window.copied")
	if got := tb.eval("JSON.parse(window.copied).length"); got != shown {
		t.Errorf("the JSON has %s records, want %s", got, shown)
	}
	tb.open("/audit/?record=" + richRecord)
	tb.wait("document.querySelector('#record-title')")
	tb.run(script(`navigator.clipboard.writeText = async (text) => { window.copied = text; }, [...document.querySelectorAll(".record button")].find((b) => b.innerText === "Copy as curl").click()`))
	tb.wait("window.copied")
	if got := tb.eval("window.copied"); !strings.HasSuffix(got, "/audit/api/detail/"+richRecord+"/'") {
		t.Errorf("copied %s", got)
	}
	tb.noViolations()
}

func TestZone_isChosen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newApp(t, trail(now))
	tb := signedIn(t, a)
	tb.run(script(`(() => { const s = document.querySelector("select.zone"); s.value = "UTC"; s.dispatchEvent(new Event("change")); })()`))
	tb.wait("location.search === '?tz=UTC' && " + quiet)
	if got, want := tb.eval("document.querySelector('td.when time').innerText"), now.Add(-time.Minute).UTC().Format("15:04:05"); got != want {
		t.Errorf("in UTC it is %s, want %s", got, want)
	}
	if got := tb.texts(".summary")[0]; !strings.Contains(got, "times in UTC") {
		t.Errorf("the page says %q", got)
	}
	tb.click(`.chip[data-back="0"]`)
	tb.wait("location.search.includes('tz=UTC') && location.search.includes('from_date=" + time.Now().UTC().Format("2006-01-02") + "')")
	tb.run(chromedp.NavigateBack())
	tb.wait("location.search === '?tz=UTC'")
}
