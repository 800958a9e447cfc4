package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/gormtrail/audit/deadletter"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/stream"
)

// printLetters prints letters as a table, or each as a line of JSON.
func printLetters(out io.Writer, output string, letters []deadletter.Letter) error {
	if output == "json" {
		lines := json.NewEncoder(out)
		for _, l := range letters {
			if err := lines.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(letters) == 0 {
		_, err := fmt.Fprintln(out, "no letters")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NUMBER\tFIRST\tLAST\tTIMES\tSTREAM\tOFFSET\tTYPE\tBYTES\tWHAT BECAME OF IT\tREASON")
	for _, l := range letters {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Number, instantText(l.First), instantText(l.Last), l.Times,
			harmless(l.Stream), offsetText(l.Offset), harmless(l.Type), sizeText(l), endText(l.End), short(harmless(l.Reason)))
	}
	return w.Flush()
}

func instantText(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func offsetText(n int64) string {
	if n < 0 {
		return "?"
	}
	return strconv.FormatInt(n, 10)
}

func sizeText(l deadletter.Letter) string {
	if l.Cut {
		return strconv.Itoa(l.Size) + " (cut)"
	}
	return strconv.Itoa(l.Size)
}

func endText(m *deadletter.Mark) string {
	if m == nil {
		return "open"
	}
	text := fmt.Sprintf("%s %s by %s", m.Kind, instantText(m.At), harmless(m.By))
	if m.Reason != "" {
		text += ": " + harmless(m.Reason)
	}
	return text
}

// short cuts a reason for a table.
func short(s string) string {
	const most = 100
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// harmless escapes what a terminal would obey, and line breaks: letters have texts of anybody.
func harmless(s string) string {
	quoted := strconv.QuoteToGraphic(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// letterJSON is a letter with its message.
type letterJSON struct {
	deadletter.Letter

	Properties map[string]string `json:"properties,omitempty"`
	// Payload is the message, in base64; Text is the same if it is text.
	Payload []byte `json:"payload"`
	Text    string `json:"text,omitempty"`
	// Record is what is read from the message, DecodeError why nothing is.
	Record      *event.Record `json:"record,omitempty"`
	DecodeError string        `json:"decode_error,omitempty"`
}

// printLetter prints one letter with its message.
func printLetter(out io.Writer, output string, l deadletter.Letter, m stream.Message) error {
	all := letterJSON{Letter: l, Properties: m.Properties, Payload: m.Payload}
	if utf8.Valid(m.Payload) {
		all.Text = string(m.Payload)
	}
	r, err := event.Decode(m.Payload)
	if err == nil {
		all.Record = &r
	} else {
		all.DecodeError = err.Error()
	}
	if output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(all)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"number", strconv.FormatInt(l.Number, 10)},
		{"came from", harmless(l.Stream) + ", offset " + offsetText(l.Offset)},
		{"message id", harmless(m.ID)},
		{"first", instantText(l.First)},
		{"last", instantText(l.Last)},
		{"times", strconv.Itoa(l.Times)},
		{"type", harmless(l.Type)},
		{"reason", harmless(l.Reason)},
		{"became", endText(l.End)},
		{"bytes", sizeText(l)},
	} {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Properties)) {
		_, _ = fmt.Fprintf(w, "property %s\t%s\n", harmless(name), harmless(m.Properties[name]))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\nmessage:\n%s\n", harmless(string(m.Payload)))
	if all.Record == nil {
		_, err = fmt.Fprintf(out, "\nno record: %s\n", harmless(all.DecodeError))
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, data, "", "  "); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "\nrecord:")
	for line := range strings.Lines(pretty.String()) {
		_, _ = fmt.Fprintln(out, harmless(strings.TrimRight(line, "\n")))
	}
	return nil
}
