package browser

import (
	"strings"
	"testing"
)

// TestCRM_withTheToken: whoever only has the token that the example prints signs in to the viewer.
func TestCRM_withTheToken(t *testing.T) {
	t.Parallel()
	tb := newTab(t, startCRM(t))
	tb.allow("401") // before signing in
	tb.open("/audit/")
	tb.typeInto("#token", "crm-demo-token-alice\r")
	tb.wait("document.querySelector('tr[data-id]') && " + quiet)
	if got := tb.texts(".account"); !strings.Contains(got[0], "Sign out") {
		t.Errorf("the page says %q", got)
	}
	tb.click(".account button")
	tb.wait("document.querySelector('#token')")
	tb.noViolations()
}
