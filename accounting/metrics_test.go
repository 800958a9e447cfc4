package accounting

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestHandler: the numbers of each request are those of its moment, in both forms.
func TestHandler(t *testing.T) {
	t.Parallel()
	queue := Queue{Producer: "a\"b\\c\nd", Written: 10, Refused: 2, Pending: 4, PendingBytes: 4096, OldestPending: 1500 * time.Millisecond, ConfirmAge: time.Second}
	ledger := &Ledger{}
	handler := Handler(func() []Account { return ledger.Accounts(func() Queue { return queue }) })
	get := func(accept string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		handler.ServeHTTP(w, r)
		return w
	}
	ledger.settle(queue.Producer, 1, 5, indexed)
	ledger.settle(queue.Producer, 6, 6, deadLettered)
	text := get("text/plain").Body.String()
	for _, want := range []string{
		"# TYPE audit_emitted_total counter\n" + `audit_emitted_total{producer="a\"b\\c\nd"} 12` + "\n",
		`audit_indexed_total{producer="a\"b\\c\nd"} 5` + "\n", `audit_dead_lettered_total{producer="a\"b\\c\nd"} 1` + "\n",
		`audit_pending{producer="a\"b\\c\nd"} 4` + "\n", `audit_lost_total{producer="a\"b\\c\nd"} 2` + "\n",
		`audit_pending_bytes{producer="a\"b\\c\nd"} 4096` + "\n", `audit_oldest_pending_seconds{producer="a\"b\\c\nd"} 1.5` + "\n",
		`audit_confirm_age_seconds{producer="a\"b\\c\nd"} 1` + "\n", `audit_unbalanced{producer="a\"b\\c\nd"} 0` + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	queue.Written = 3 // set back
	if text := get("").Body.String(); !strings.Contains(text, `nd"} 1`+"\n") {
		t.Errorf("unbalanced:\n%s", text)
	}
	queue.Written = 20
	var got []Account
	answer := get("application/json")
	if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil || !strings.Contains(answer.Body.String(), `"dead_lettered":1`) {
		t.Fatal(err, answer.Body)
	}
	want := ledger.Accounts(func() Queue { return queue })
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Account{})); diff != "" || got[0].Emitted != 22 || got[0].Check() != nil {
		t.Error(diff)
	}
}
