package browser

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// startCRM builds and starts the example as its readers do, and gives its address and the token that
// it prints.
func startCRM(t *testing.T) (address, bearer string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "crm")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./examples/crm")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-addr", "127.0.0.1:0", "-data", filepath.Join(t.TempDir(), "data"))
	cmd.Stderr = t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // its context has ended by then
	line := regexp.MustCompile(`(http://\S+)/audit/\s+\(token: (\S+)\)`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := line.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return m[1], m[2]
		}
	}
	t.Fatal("the example ended before it said where the trail is")
	return "", ""
}

func TestCRM_changeIsInTheViewer(t *testing.T) {
	t.Parallel()
	address, bearer := startCRM(t)
	tb := newTab(t, address)
	tb.allow("401")
	tb.open("/audit/")
	tb.typeInto("#token", bearer+"\r")
	tb.wait("document.querySelector('tr[data-id]')")
	tb.picture("list")

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, address+"/api/customers/1", strings.NewReader(`{"phone":"555-0147"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode >= 300 {
		t.Fatalf("PUT gives %s, %v", answer.Status, err)
	}
	tb.click(`.chip[data-action="CHANGE"]`)
	tb.wait(onlyText("td.what", "CHANGE"))
	tb.typeInto("#f-object_type", "customer\r")
	tb.wait(onlyText("td.object", "customer") + " && location.search.includes('object_type')")
	tb.picture("filter")
	tb.click("tr[data-id] a.open")
	tb.wait("document.querySelector('.changes')")
	tb.picture("detail")
	rows := tb.texts(".changes tbody tr")
	if len(rows) == 0 || !strings.Contains(strings.Join(rows, "\n"), "555-0147") {
		t.Errorf("the change is shown as %q", rows)
	}
	if diff := cmp.Diff([]string{"Field", "Before", "After"}, tb.texts(".changes thead th")); diff != "" {
		t.Error(diff)
	}
	tb.noViolations()
}
