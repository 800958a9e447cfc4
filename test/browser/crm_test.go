package browser

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startCRM builds and runs examples/crm, and gives its address.
func startCRM(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "crm")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./examples/crm")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, "-addr", "127.0.0.1:0", "-data", filepath.Join(t.TempDir(), "data"))
	cmd.Stderr = &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait() // the test's context has ended it
		if t.Failed() {
			t.Logf("the command's stderr:\n%s", stderr.String())
		}
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "application "); ok {
			return strings.TrimSuffix(strings.TrimSpace(rest), "/")
		}
	}
	t.Fatal("the command printed no address")
	return ""
}

// TestCRM_inABrowser: somebody signs in to the application, does things, and finds them in the trail,
// without signing in there.
func TestCRM_inABrowser(t *testing.T) {
	t.Parallel()
	tb := newTab(t, startCRM(t))
	tb.allow("401") // before signing in
	tb.allow("402") // the card that is refused
	tb.open("/")
	tb.click(`button[data-name="alice"]`)
	tb.wait("document.querySelector('#who').innerText.includes('alice')")
	for _, c := range []struct{ button, status string }{
		{"add", "201"}, {"change", "200"}, {"same", "200"}, {"import", "200"}, {"export", "200"}, {"order", "201"}, {"fail", "402"}, {"family", "201"}, {"leave", "204"},
	} {
		tb.run(script("document.querySelector('#result').textContent = ''"))
		tb.click(`button[data-do="` + c.button + `"]`)
		tb.wait("document.querySelector('#result').innerText.includes(': " + c.status + "')")
	}
	tb.picture("application")
	tb.open("/" + tb.eval(`document.querySelector(".next a").getAttribute("href")`))
	tb.wait("document.querySelectorAll('tr[data-id]').length > 20 && " + quiet)
	tb.picture("list")
	if rows := strings.Join(tb.texts("tr[data-id]"), "\n"); !strings.Contains(rows, "LOGIN") || !strings.Contains(rows, "Alice Nguyen") || strings.Contains(rows, "Never bought") {
		t.Errorf("the list:\n%s", rows)
	}

	tb.typeInto("#f-search_term", "never\r")
	tb.wait("document.querySelectorAll('tr[data-id]').length === 0 && " + quiet)
	tb.open("/audit/?object_type=customer&object_id=1&action=CHANGE")
	tb.wait(onlyText("td.what", "CHANGE"))
	tb.picture("filter")
	tb.click("tr[data-id] a.open")
	tb.wait("document.querySelector('#record-title')")
	tb.picture("detail")
	if got := tb.texts("#record-title")[0]; got != "Alice Nguyen changed customer John Smith" {
		t.Errorf("the sentence is %q", got)
	}
	if got := tb.texts(".changes tbody tr"); !strings.Contains(strings.Join(got, "\n"), "Last bought: Grinder") {
		t.Errorf("the changes are %q", got)
	}

	tb.open("/")
	tb.click(`button[data-name="bob"]`)
	tb.wait("document.querySelector('#who').innerText.includes('bob')")
	tb.open("/audit/")
	tb.wait("document.querySelectorAll('tr[data-id]').length > 0 && " + quiet)
	for _, who := range tb.texts("td.who") {
		if !strings.Contains(who, "Bob Miller") {
			t.Errorf("bob sees a record of %q", who)
		}
	}
	tb.noViolations()
}
