package browser

import (
	"testing"
	"time"
)

func TestSignIn_listAndSignOut(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := newTab(t, a.url)
	tb.allow("401")
	tb.open("/audit") // without the last slash
	tb.wait("document.querySelector('#token')")
	tb.picture("sign-in")
	if got := tb.eval("document.activeElement.id"); got != "token" {
		t.Errorf("the focus is on %q, want the token", got)
	}
	tb.typeInto("#token", "not-the-token-0123456789\r")
	tb.wait("document.querySelector('.wrong').innerText.includes('not valid')")
	if got := tb.eval("document.querySelector('#token').getAttribute('aria-invalid')"); got != "true" {
		t.Errorf("aria-invalid is %q", got)
	}
	tb.run(script("document.querySelector('#token').value = ''"))
	tb.typeInto("#token", token+"\r")
	tb.wait("document.querySelectorAll('#results tr[data-id]').length === 50")
	tb.picture("list")
	if got := tb.texts(".principal, .summary strong"); len(got) != 2 || got[0] != "auditor@example.com" || got[1] != "140 records" {
		t.Errorf("the page says %q", got)
	}
	if got := tb.eval("document.cookie + localStorage.length + sessionStorage.length + location.search"); got != "00" {
		t.Errorf("scripts see %q, want no cookie and nothing stored", got)
	}
	if got := tb.eval("performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation')).reduce((sum, e) => sum + e.transferSize, 0) <= 150 * 1024"); got != "true" {
		t.Errorf("the first view, with its records and numbers, has more than 150 KiB on the wire")
	}
	// Another visit does not ask again.
	tb.open("/audit/")
	tb.wait("document.querySelectorAll('#results tr[data-id]').length === 50")

	tb.click(".account button")
	tb.wait("document.querySelector('#token')")
	if got := tb.eval("document.querySelectorAll('tr[data-id]').length"); got != "0" {
		t.Errorf("%s records are left after signing out", got)
	}
	tb.open("/audit/?user_id=7")
	tb.wait("document.querySelector('#token')")
	tb.noViolations()
}

func TestSignIn_leadsBackToTheAddress(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()))
	tb := newTab(t, a.url)
	tb.allow("401")
	tb.open("/audit/?action=DELETE&record=019ac000-0000-7000-8000-000000000001")
	tb.typeInto("#token", token+"\r")
	tb.wait("document.querySelector('#record-title') && document.querySelector('tr[data-id]')")
	for _, action := range tb.texts("td.what") {
		if action != "DELETE" {
			t.Errorf("the list shows %s", action)
		}
	}
}
