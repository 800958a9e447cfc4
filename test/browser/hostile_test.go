package browser

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gormtrail/audit/event"
)

// hostile are values that try to leave their text node, to run, or to look like something else.
var hostile = []string{
	`<script>window.pwned=1;alert(1)</script>`,
	`"><img src=x onerror="window.pwned=1;alert(1)">`,
	`'><svg/onload=window.pwned=1>`,
	`javascript:window.pwned=1//`,
	`</title></textarea></style></script><script>window.pwned=1</script>`,
	`<iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`,
	`<a href="javascript:window.pwned=1">click</a>`,
	`{{constructor.constructor('window.pwned=1')()}}${window.pwned=1}`,
	`<style>@import'//evil.example/x.css';*{display:none}</style>`,
	`<meta http-equiv=refresh content="0;url=//evil.example">`,
	"admin\u202Egpj.exe\u202C\u200B\u2066zero\u2069\u200D\uFEFF",
	"ansi\x1b[31mred\x1b[0m\x07\x08 line\r\nbreak\ttab \u2028 end",
	"__proto__", "constructor", "=cmd|' /C calc'!A0", "%00%0d%0aSet-Cookie:a=b", "&lt;b&gt;&amp;", strings.Repeat("W", 5000),
	"\u0e01\u0e33\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301", "\U000E0041\U000E0042 tags", "مرحبا بالعالم", "🧑‍🚀❤️ emoji",
}

// hostileRecord has the value in every field that takes text.
func hostileRecord(i int, v string, now time.Time) event.Record {
	return event.Record{
		LogID: fmt.Sprintf("hostile-%02d", i), Timestamp: now.Add(-time.Duration(i) * time.Second), UserID: cut(v, 200), Username: v, FullName: v, ActorType: v, ImpersonatorID: v, TenantID: cut(v, 200),
		Action: event.Action(cut(v, 100)), ObjectType: cut(v, 200), ObjectID: cut(v, 200), ObjectRepr: v, ChangeMessage: event.TextMessage(v),
		Changes: []event.Change{
			{Field: v, Label: v, Type: v, Old: raw(v), New: raw(v + " changed")},
			{Field: v, Type: event.TypeJSON, Old: raw(map[string]any{v: v}), New: raw([]any{v, map[string]any{v: v}})},
			{Field: "time", Type: event.TypeTime, New: raw(v)},
		},
		ChangedFields: []string{v}, IPAddress: v, UserAgent: v, SessionKey: v, RequestID: v, TraceID: v, SpanID: v, HTTPMethod: v, HTTPRoute: v, Source: v,
		Outcome: v, Reason: v, Service: v, Environment: v, Host: v, SourceModel: v, SourcePK: v, SourceRepr: v, BatchID: v, BatchAction: event.Action(cut(v, 100)),
		Errors: []string{v}, TxID: v, Table: v, Extra: map[string]any{v: v, "nested": map[string]any{v: []any{v}}, "extra": v},
	}
}

func cut(v string, most int) string {
	if r := []rune(v); len(r) > most {
		return string(r[:most])
	}
	return v
}

// Threat rows 4 and 19: values of records reach the page as text, whatever they are. Dialogs, requests
// to other places and script errors fail every test of this package; see newTab.
func TestHostileValues_areShownAsText(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var records []event.Record
	for i, v := range hostile {
		records = append(records, hostileRecord(i, v, now))
	}
	a := newApp(t, records)
	tb := signedIn(t, a)
	tb.wait(fmt.Sprintf("document.querySelectorAll('tr[data-id]').length === %d", len(hostile)))
	tb.picture("list")
	calm := func(where string) {
		t.Helper()
		if got := tb.eval("window.pwned"); got != "undefined" {
			t.Fatalf("%s: a value ran", where)
		}
		if got := tb.eval("document.querySelectorAll('#app script, #app iframe, #app style, #app meta, #app img:not(.logo), #app [onerror], #app [onload], a[href^=javascript]').length"); got != "0" {
			t.Fatalf("%s: a value became %s elements", where, got)
		}
		if got := tb.eval("document.documentElement.scrollWidth <= innerWidth"); got != "true" {
			t.Errorf("%s: the page is wider than the window", where)
		}
		tb.noViolations()
	}
	calm("list")
	for i, v := range hostile {
		id := fmt.Sprintf("hostile-%02d", i)
		tb.run(script(fmt.Sprintf("document.querySelector('tr[data-id=%q] a.open').click()", id)))
		tb.wait(fmt.Sprintf("document.querySelector('#record-title') && location.search.includes(%q) && document.querySelector('.record [data-field=log_id]')?.textContent.includes(%q)", id, id))
		tb.run(script("document.querySelectorAll('.record details').forEach((d) => (d.open = true)), document.querySelectorAll('.changes button').forEach((b) => b.click())"))
		calm(id)
		if i < 10 || i == 17 { // those without characters that are replaced
			if got := tb.eval("document.querySelector('[data-field=user_agent] dd').textContent"); !strings.HasPrefix(got, cut(v, 500)) {
				t.Errorf("%s shows %q, want %q", id, cut(got, 600), v)
			}
		}
		if i == 0 || i == 10 || i == 11 {
			tb.picture(id)
		}
		// Every value is a link to its filter at most: following one searches for it.
		if i == 1 {
			tb.click("[data-field=request_id] a")
			tb.wait("location.search.startsWith('?request_id=') && " + quiet)
			calm(id + " as a filter")
			tb.run(chromedp.NavigateBack())
			tb.wait(fmt.Sprintf("document.querySelector('#record-title') && document.querySelectorAll('tr[data-id]').length === %d && %s", len(hostile), quiet))
		}
	}
	// The values that occur, the pages of the object and of the batch, and the live list.
	tb.allow("404") // an id with a slash is no part of a path
	tb.allow("400") // nor is one with control characters
	for i, v := range hostile {
		if len(v) > 200 {
			continue
		}
		q := url.Values{"view": {"object"}, "object_type": {cut(v, 200)}, "object_id": {cut(v, 200)}, "a": {records[i].Timestamp.Format(time.RFC3339Nano)}}
		tb.open("/audit/?" + q.Encode())
		tb.wait("document.querySelector('#page-title, #page .state')")
		calm("object " + v)
		tb.open("/audit/?" + url.Values{"view": {"batch"}, "batch_id": {v}}.Encode())
		tb.wait("document.querySelector('#page-title, #page .state')")
		calm("batch " + v)
	}
	tb.open("/audit/?live=1")
	tb.wait("document.querySelector('.live')?.dataset.state === 'on' && " + counted)
	calm("values")
	a.write(hostileRecord(90, hostile[0], now))
	tb.wait("document.querySelector('tr[data-id=hostile-90]')")
	calm("live")
	tb.run(script("document.querySelector('tr[data-id=hostile-10] a.open').click()"))
	tb.wait("document.querySelector('.record [data-field=log_id]')?.textContent.includes('hostile-10')")
	if got := tb.eval("document.querySelector('[data-field=user_agent] dd').textContent"); got != "adminRLOgpj.exePDFZWSPLRIzeroPDIZWJBOM" {
		t.Errorf("characters that turn or hide text are shown as %q", got)
	}
	if got := tb.eval("[...document.querySelectorAll('[data-field=user_agent] .ctl')].map((e) => e.title).join()"); got != "U+202E,U+202C,U+200B,U+2066,U+2069,U+200D,U+FEFF" {
		t.Errorf("their codes are %s", got)
	}
	tb.run(script("document.querySelector('tr[data-id=hostile-11] a.open').click()"))
	tb.wait("document.querySelector('.record [data-field=log_id]')?.textContent.includes('hostile-11')")
	if got := tb.eval("document.querySelector('[data-field=user_agent] dd').textContent"); got != "ansiESC[31mredESC[0mBELBS lineCR\nbreak\ttab U+2028 end" {
		t.Errorf("control characters are shown as %q", got)
	}
}

// A value of a megabyte, of which a record keeps the beginning, does not stop the page: little of it is shown,
// and all that there is on demand.
func TestHostileValues_ofAMegabyte(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("<b>W</b> ", 1<<20/9)
	now := time.Now()
	a := newApp(t, []event.Record{{
		LogID: "huge", Timestamp: now, Action: event.ActionChange, ObjectType: "customer", ObjectID: "1", ObjectRepr: huge, FullName: huge, UserAgent: huge, Reason: huge,
		Changes: []event.Change{{Field: "notes", Type: event.TypeString, Old: raw(huge), New: raw(huge + "!")}}, ChangeMessage: event.TextMessage("changed"), Extra: map[string]any{"more": huge},
	}})
	tb := signedIn(t, a)
	tb.wait("document.querySelector('tr[data-id=huge]') && " + counted)
	tb.run(script("document.querySelector('tr[data-id=huge] a.open').click()"))
	tb.wait("document.querySelector('#record-title') && document.querySelector('.changes .new button')")
	if got := tb.eval("document.querySelector('.changes .new').textContent.length < 1000"); got != "true" {
		t.Error("the long value is not folded")
	}
	tb.run(script("document.querySelector('.changes .new button').click()"))
	tb.wait("!document.querySelector('.changes .new button')")
	if got := tb.eval("document.querySelector('.changes .new').textContent.length > 30000"); got != "true" { // a record keeps that much of it
		t.Error("the value is not shown on demand")
	}
	tb.open("/audit/?view=object&object_type=customer&object_id=1")
	tb.wait("document.querySelector('#page-title')")
	if got := tb.eval("document.documentElement.scrollWidth <= innerWidth"); got != "true" {
		t.Error("the page is wider than the window")
	}
	tb.noViolations()
}

func TestHostileAddress_isOnlyText(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := newTab(t, a.url)
	tb.allow("401")
	tb.allow("400")
	tb.allow("404")
	tb.signIn()
	for _, query := range []string{
		"?search_term=%3Cimg%20src=x%20onerror=window.pwned=1%3E", "?action=%3Cscript%3Ewindow.pwned=1%3C/script%3E", "?%3Cscript%3E=window.pwned=1",
		"?record=%22%3E%3Cimg%20src=x%20onerror=window.pwned=1%3E", "?record=../../../etc/passwd", "?cursor=javascript:window.pwned=1", "?__proto__=1&constructor=2",
	} {
		tb.open("/audit/" + query)
		tb.wait(quiet + " && document.querySelector('.state, tr[data-id]')")
		if got := tb.eval("window.pwned"); got != "undefined" {
			t.Errorf("%s ran", query)
		}
		tb.noViolations()
	}
}
