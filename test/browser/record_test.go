package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

const richRecord = "019ac000-0000-7000-8000-000000000001"

func TestRecord_changeTable(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	tb.click("tr[data-id] a.open")
	tb.wait("document.querySelector('#record-title')")
	tb.picture("detail")
	if got := tb.eval("location.search"); got != "?record="+richRecord {
		t.Errorf("the address has %q", got)
	}
	if got := tb.texts("#record-title")[0]; got != "Ann Lee changed customer John Smith" {
		t.Errorf("the sentence is %q", got)
	}
	want := []string{
		"Phone number phone 0987654321 1234567890",
		"Notes notes Prefers to be called in the morning. Delivery to the back door. Prefers to be called in the afternoon. Delivery to the front door, ring twice.",
		"Nickname nickname null empty text",
		"Credit limit credit_limit 1500.00 2500.00",
		"Visits visits 9007199254740992 9007199254740993",
		"Newsletter newsletter true false",
		"Password password_hash masked masked",
		`Preferences preferences { "columns": [ 1, 2 ], "theme": "light" } { "columns": [ 1, 2, 3 ], "theme": "dark" }`,
		"Verified at verified_at null Tuesday, 24 November 2026, 10:04:05.123456 UTC+07:00 2026-11-24T03:04:05.123456Z",
	}
	if diff := cmp.Diff(want, tb.texts(".changes tbody tr")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Field", "Before", "After"}, tb.texts(".changes thead th")); diff != "" {
		t.Error(diff)
	}
	// What differs inside of a text is marked, and nothing where all of it differs.
	if diff := cmp.Diff([]string{"morning", "back", "light"}, tb.texts(".old mark")); diff != "" {
		t.Error(diff)
	}
	if got := strings.Join(tb.texts(".new mark"), "|"); !strings.HasPrefix(got, "afternoon|front|, ring twice|") || !strings.HasSuffix(got, "dark") {
		t.Errorf("marked: %s", got)
	}
	if got := tb.eval("document.body.innerText.includes('***')"); got != "false" {
		t.Error("the mask itself is shown as a value")
	}
	fields := strings.Join(tb.texts(".record dl > div"), "\n")
	for _, want := range []string{"IP address 203.0.113.10", "Browser or client Mozilla/5.0", "Tenant acme", "Reason Customer called about the delivery", "ticket SUP-4711", "Trace 4bf92f3577b34da6a3ce929d0e0e4736"} {
		if !strings.Contains(fields, want) {
			t.Errorf("%q is not among the fields:\n%s", want, fields)
		}
	}
	for range 2 {
		tb.run(script("document.querySelectorAll('.record details').forEach((d) => (d.open = true))"))
	}
	if got := tb.eval("document.querySelector('.raw').innerText"); !strings.Contains(got, "9007199254740993") || !strings.Contains(got, `"record_hash"`) && !strings.Contains(got, `"log_id"`) {
		t.Errorf("the JSON is %s", got)
	}

	// A value leads to all records that have it.
	tb.run(script("[...document.querySelectorAll('.related a')].find((a) => a.innerText === 'In the list').click()"))
	tb.wait("location.search === '?object_type=customer&object_id=42' && document.querySelector('.drawer').hidden && " + quiet)
	if got := tb.texts("td.object"); len(got) == 0 || !strings.Contains(got[0], "customer · 42") {
		t.Errorf("the history of the object is %v", got)
	}
	tb.run(chromedp.NavigateBack())
	tb.wait("document.querySelector('#record-title')")
	tb.run(chromedp.NavigateBack())
	tb.wait("document.querySelector('.drawer').hidden")
	tb.noViolations()
}

func TestRecord_oneSided_andText(t *testing.T) {
	t.Parallel()
	now := time.Now()
	records := []event.Record{
		{
			LogID: "added", Timestamp: now, Action: event.ActionAdd, ObjectType: "customer", ObjectID: "1", ChangeMessage: event.TextMessage(event.TextCreated),
			Changes: []event.Change{{Field: "name", New: raw("A")}, {Field: "nick", New: raw(nil)}},
		},
		{
			LogID: "deleted", Timestamp: now, Action: event.ActionDelete, ObjectType: "customer", ObjectID: "1", Username: "bob", ChangeMessage: event.TextMessage(event.TextDeleted),
			Changes: []event.Change{{Field: "name", Old: raw("A")}},
		},
		{LogID: "manual", Timestamp: now, Action: "APPROVE", UserID: "9", ObjectType: "order", ObjectID: "2", ObjectRepr: "Order 2", ChangeMessage: event.TextMessage("Order status changed\nfrom PENDING to APPROVED")},
		{LogID: "foreign", Timestamp: now, Action: event.ActionChange, ObjectType: "customer", ObjectID: "1", ChangeMessage: event.TableMessage([]event.MessageRow{{Field: "Phone", OldValue: raw("1"), NewValue: raw("2")}})},
		{
			LogID: "part", Timestamp: now, Action: event.ActionChange, FullName: "Ann", ObjectType: "employee", ObjectID: "5", ObjectRepr: "Hoa", SourceModel: "employeedependent", SourcePK: "8", SourceRepr: "Lan",
			Changes: []event.Change{{Field: "age", Type: event.TypeInteger, Old: raw(7), New: raw(8), Truncated: true}},
		},
		{LogID: "batch", Timestamp: now, Action: event.ActionImport, ObjectType: "customer", BatchID: "b1", BatchAction: event.ActionImport, BatchSummary: true, TotalProcessed: 10, ErrorCount: 2, Errors: []string{"row 3: no name", "row 7: <b>"}},
	}
	a := newApp(t, records)
	tb := newTab(t, a.url)
	tb.allow("401")
	tb.allow("404")
	tb.signIn()
	open := func(id string) string {
		tb.open("/audit/?record=" + id)
		tb.wait("document.querySelector('.record h2')")
		return strings.Join(tb.texts(".record")[:1], " ")
	}
	for id, want := range map[string][]string{
		"added":   {"Somebody created customer 1", "Field Value", "name A", "nick null"},
		"deleted": {"bob deleted customer 1", "Field Value", "name A"},
		"manual":  {"9 approve: order Order 2", "What happened Order status changed from PENDING to APPROVED"},
		"foreign": {"Phone 1 2", "Field Before After"},
		"part":    {"Ann changed employeedependent Lan of employee Hoa", "age cut 7 8"},
		"batch":   {"imported customer", "row 3: no name", "row 7: <b>", "Errors 2"},
		"missing": {"No such record"},
	} {
		got := open(id)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is missing in\n%s", id, w, got)
			}
		}
	}
}

func TestKeyboard(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	tb.key("/")
	if got := tb.eval("document.activeElement.name"); got != "search_term" {
		t.Errorf("/ leads to %q", got)
	}
	tb.key(kb.Escape)
	tb.key("j")
	tb.key("j")
	if got := tb.eval("[...document.querySelectorAll('a.open')].indexOf(document.activeElement)"); got != "1" {
		t.Errorf("j j leads to row %s", got)
	}
	tb.key("k")
	tb.key(kb.Enter)
	tb.wait("document.activeElement.id === 'record-title'")
	if got := tb.eval("location.search"); got != "?record="+richRecord {
		t.Errorf("Enter opens %q", got)
	}
	tb.key("j")
	tb.wait("location.search !== '?record=" + richRecord + "' && document.querySelector('tr.selected') === document.querySelectorAll('tr[data-id]')[1]")
	tb.key(kb.Escape)
	tb.wait("document.querySelector('.drawer').hidden && location.search === ''")
	if got := tb.eval("[...document.querySelectorAll('a.open')].indexOf(document.activeElement)"); got != "1" {
		t.Errorf("after Esc the focus is on row %s", got)
	}
	tb.key("?")
	tb.wait("document.querySelector('dialog.help').open")
	tb.picture("help")
	tb.key(kb.Escape)
	tb.wait("!document.querySelector('dialog.help').open")
	// Everything can be reached by Tab, and shows that it has the focus.
	tb.run(script("document.querySelector('.skip').focus()"))
	seen := map[string]bool{}
	for range 48 {
		tb.key(kb.Tab)
		seen[tb.eval("(document.activeElement.name || document.activeElement.className || document.activeElement.tagName) + ''")] = true
		if got := tb.eval("getComputedStyle(document.activeElement).outlineStyle"); got == "none" {
			t.Errorf("%s has the focus and does not show it", tb.eval("document.activeElement.outerHTML"))
		}
	}
	for _, want := range []string{"search_term", "user_id", "object_type", "object_id", "from_date", "to_date", "open"} {
		if !seen[want] {
			t.Errorf("Tab does not lead to %s: %v", want, seen)
		}
	}
}
