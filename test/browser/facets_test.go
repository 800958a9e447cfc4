package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const counted = "document.querySelector('.facets section') && !document.querySelector('.facets[aria-busy], .histogram[aria-busy]') && " + quiet

func TestFacets_countFilterAndExclude(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	tb.wait(counted)
	tb.picture("facets")
	if got := tb.texts(`.facets [data-field=object_type] .facet`); len(got) != 5 || got[0] != "customer 60" {
		t.Errorf("the types are %q", got)
	}
	tb.click(`.facets [data-field=object_type] .facet[data-value=customer]`)
	tb.wait("location.search === '?object_type=customer' && " + onlyText("td.object", "customer") + " && " + counted)
	if got := tb.texts(".summary strong")[0]; got != "60 records" {
		t.Errorf("the facet says 60, the list %q", got)
	}
	// What else could be chosen stays, and the focus is where it was.
	if got := tb.texts(`.facets [data-field=object_type] .facet`); len(got) != 5 {
		t.Errorf("the types are now %q", got)
	}
	tb.wait("document.activeElement.dataset.value === 'customer' && document.activeElement.getAttribute('aria-pressed') === 'true'")
	tb.click(`.facets [data-field=object_type] .facet[data-value=order]`)
	tb.wait("document.querySelector('.summary strong').innerText === '80 records' && " + counted)
	tb.click(`.facets [data-field=action] .exclude[data-value=CHANGE]`)
	tb.wait("location.search.includes('not_action=CHANGE') && " + counted)
	for _, got := range tb.texts("td.what") {
		if got == "CHANGE" {
			t.Fatal("what was left out is in the list")
		}
	}
	if got := tb.texts(".pill.not"); len(got) != 1 || got[0] != "Not: Action CHANGE" {
		t.Errorf("the pills are %q", got)
	}
	// A value is taken or left out, not both.
	tb.click(`.facets [data-field=action] .facet[data-value=CHANGE]`)
	tb.wait("location.search.endsWith('action=CHANGE') && !location.search.includes('not_action') && " + onlyText("td.what", "CHANGE"))
	tb.open("/audit/")
	tb.wait(counted)
	tb.click(`.facets [data-field=ip_address] > button`)
	tb.wait("document.querySelectorAll('.facets [data-field=ip_address] .facet').length === 20")
	tb.noViolations()
}

// A value in the record narrows the list by it, or leaves it out, beside the filters that there are.
func TestRecord_valueFiltersAndExcludes(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	tb.open("/audit/?action=CHANGE&record=" + richRecord)
	tb.wait("document.querySelector('#record-title') && " + quiet)
	tb.click(`[data-field=object_type] a[data-param=object_type]`)
	tb.wait("location.search === '?action=CHANGE&object_type=customer' && " + onlyText("td.object", "customer"))
	tb.run(chromedp.NavigateBack())
	tb.wait("document.querySelector('#record-title')")
	tb.click(`[data-field=user_id] a[data-param=not_user_id]`)
	tb.wait("location.search === '?action=CHANGE&not_user_id=7' && " + quiet)
	if got := strings.Join(tb.texts("td.who"), " "); strings.Contains(got, "Ann Lee") || got == "" {
		t.Errorf("without Ann: %s", got)
	}
}

func TestHistogram_brush(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := signedIn(t, a)
	tb.wait(counted + " && document.querySelectorAll('.bars .bar').length > 20")
	// The mouse chooses from a quarter to the half of the time.
	tb.run(script(`(() => {
		const box = document.querySelector(".brush").getBoundingClientRect();
		const to = (type, part) => document.querySelector(".brush").dispatchEvent(new PointerEvent(type, { bubbles: true, pointerId: 1, button: 0, clientX: box.left + box.width * part, clientY: box.top + 9 }));
		document.querySelector(".brush").setPointerCapture = () => {};
		to("pointerdown", .25); to("pointermove", .4); to("pointermove", .5); window.caption = document.querySelector(".axis .caption").innerText; to("pointerup", .5);
	})()`))
	tb.wait("location.search.includes('from=') && location.search.includes('&to=') && " + counted)
	tb.picture("brushed")
	caption, shown := tb.eval("window.caption"), tb.texts(".summary strong")[0]
	if !strings.HasSuffix(caption, ": "+shown) {
		t.Errorf("the chart said %q, the list has %s", caption, shown)
	}
	if got := tb.texts(".pill"); len(got) != 2 {
		t.Errorf("the pills are %q", got)
	}
	tb.click(".axis button")
	tb.wait("location.search === '' && document.querySelector('.summary strong').innerText === '140 records' && " + counted)

	// The keyboard: the newest three hours.
	tb.run(script("document.querySelector('.brush').focus()"))
	tb.run(chromedp.KeyEvent(kb.End), chromedp.KeyEvent(kb.ArrowLeft, chromedp.KeyModifiers(8)), chromedp.KeyEvent(kb.ArrowLeft, chromedp.KeyModifiers(8)))
	text := tb.eval("document.querySelector('.brush').getAttribute('aria-valuetext')")
	tb.key(kb.Enter)
	tb.wait("location.search.includes('from=') && " + counted)
	if got := tb.texts(".summary strong")[0]; !strings.HasSuffix(text, ": "+got) {
		t.Errorf("the chart said %q, the list has %s", text, got)
	}
	tb.key(kb.Escape)
	tb.wait("location.search === ''")
	// Days and instants exclude each other.
	tb.open("/audit/?from=2026-01-01T00:00:00Z&to=2030-01-01T00:00:00Z")
	tb.wait(counted)
	tb.click(`.chip[data-back="6"]`)
	tb.wait("location.search.startsWith('?from_date=') && !location.search.includes('from=2') && document.querySelector('tr[data-id]') && " + counted)
	tb.noViolations()
}
