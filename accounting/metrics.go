package accounting

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// metrics are the numbers of an account by their names for Prometheus.
var metrics = []struct {
	name, help, kind string
	value            func(a Account) float64
}{
	{"audit_emitted_total", "Records handed to the queue: each is indexed, pending, dead-lettered or lost.", "counter", func(a Account) float64 { return float64(a.Emitted) }},
	{"audit_indexed_total", "Records in the store.", "counter", func(a Account) float64 { return float64(a.Indexed) }},
	{"audit_pending", "Records on their way to the store.", "gauge", func(a Account) float64 { return float64(a.Pending) }},
	{"audit_dead_lettered_total", "Records that cannot be stored or sent, and were put aside.", "counter", func(a Account) float64 { return float64(a.DeadLettered) }},
	{"audit_lost_total", "Records that are lost, and were counted as lost.", "counter", func(a Account) float64 { return float64(a.Lost) }},
	{"audit_in_queue", "Of the pending records, those that the stream has not confirmed.", "gauge", func(a Account) float64 { return float64(a.InQueue) }},
	{"audit_pending_bytes", "Size of what the stream has not confirmed, about.", "gauge", func(a Account) float64 { return float64(a.PendingBytes) }},
	{"audit_oldest_pending_seconds", "For how long the oldest of them has been waiting.", "gauge", func(a Account) float64 { return a.OldestPending.Seconds() }},
	{"audit_confirm_age_seconds", "For how long the stream has confirmed nothing, though something waited.", "gauge", func(a Account) float64 { return a.ConfirmAge.Seconds() }},
	{"audit_unbalanced", "1: more has come out than went in, somebody else writes under the producer's name.", "gauge", func(a Account) float64 {
		if a.Check() != nil {
			return 1
		}
		return 0
	}},
}

// label escapes the value of a label, see https://prometheus.io/docs/instrumenting/exposition_formats/.
var label = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// WriteText writes the accounts in the text format of Prometheus. The label producer tells them apart.
func WriteText(w io.Writer, accounts []Account) error {
	var b bytes.Buffer
	for _, m := range metrics {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", m.name, m.help, m.name, m.kind)
		for _, a := range accounts {
			fmt.Fprintf(&b, "%s{producer=\"%s\"} %s\n", m.name, label.Replace(a.Producer), strconv.FormatFloat(m.value(a), 'g', -1, 64))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Handler gives the accounts over HTTP as they are at each request: in the text format of Prometheus, and as
// a list in JSON to who accepts application/json. It asks nobody who he is: put it where only operators come.
func Handler(accounts func() []Account) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list := accounts()
		w.Header().Set("Cache-Control", "no-store")
		if strings.Contains(r.Header.Get("Accept"), "application/json") {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(list) // who has gone need not be told
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = WriteText(w, list) // as above
	})
}
