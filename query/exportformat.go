package query

import (
	"bufio"
	"encoding/json"
	"time"

	"github.com/gormtrail/audit/event"
)

// exportFormat writes records in one form.
type exportFormat interface {
	// begin, record and end write to the buffer, whose errors are found when it is flushed.
	begin(w *bufio.Writer)
	record(w *bufio.Writer, r event.Record, grant Grant) error
	// end says how the export has ended, if the form has a place for it.
	end(w *bufio.Writer, e exportEnd)
}

// exportEnd is how an export has ended.
type exportEnd struct {
	// Status is complete, or truncated: there are more records than the limit, to be had with NextCursor.
	Status     string  `json:"status"`
	Count      int     `json:"count"`
	NextCursor *string `json:"next_cursor"`
}

// formats gives the form by its name, with its media type and the ending of a file's name.
func formatOf(name string, columns []string, source string) (f exportFormat, kind, ending string) {
	switch name {
	case "ndjson":
		return ndjson{}, "application/x-ndjson; charset=utf-8", "ndjson"
	case "cloudevents":
		return &cloudEvents{source: source}, "application/cloudevents-batch+json; charset=utf-8", "cloudevents.json"
	}
	return csvFile{columns: columns}, "text/csv; charset=utf-8; header=present", "csv"
}

// csvFile is a table. It has no place for the end, which is in the trailer only.
type csvFile struct{ columns []string }

func (f csvFile) begin(w *bufio.Writer) { writeCSVRow(w, f.columns) }

func (f csvFile) record(w *bufio.Writer, r event.Record, grant Grant) error {
	cells, err := csvRow(r, grant, f.columns)
	if err == nil {
		writeCSVRow(w, cells)
	}
	return err
}

func (csvFile) end(*bufio.Writer, exportEnd) {}

// ndjson is a record in each line, and in the last line the end: {"export":{"status":"complete",…}}.
type ndjson struct{}

func (ndjson) begin(*bufio.Writer) {}

func (ndjson) record(w *bufio.Writer, r event.Record, grant Grant) error {
	data, err := whole(r, grant)
	if err == nil {
		writeLine(w, data)
	}
	return err
}

func (ndjson) end(w *bufio.Writer, e exportEnd) {
	writeLine(w, encode(map[string]exportEnd{"export": e}))
}

func writeLine(w *bufio.Writer, data []byte) {
	_, _ = w.Write(data) // the writer keeps its error for Flush
	_ = w.WriteByte('\n')
}

// cloudEvents is a batch as CloudEvents 1.0 has it: a JSON list. One that was cut is no JSON.
type cloudEvents struct {
	source string
	any    bool
}

func (f *cloudEvents) begin(w *bufio.Writer) { _ = w.WriteByte('[') }

func (f *cloudEvents) record(w *bufio.Writer, r event.Record, grant Grant) error {
	data, err := cloudEvent(r, grant, f.source)
	if err != nil {
		return err
	}
	if f.any {
		_ = w.WriteByte(',')
	}
	f.any = true
	_ = w.WriteByte('\n')
	_, _ = w.Write(data)
	return nil
}

func (f *cloudEvents) end(w *bufio.Writer, _ exportEnd) { _, _ = w.WriteString("\n]\n") }

// cloudEvent gives a record as an event of CloudEvents 1.0 in the structured form: the record is the data,
// and what is hidden from the caller is not in the attributes either.
func cloudEvent(r event.Record, grant Grant, source string) (json.RawMessage, error) {
	data, err := whole(r, grant)
	if err != nil {
		return nil, err
	}
	var o object
	o.set("specversion", encode("1.0"))
	o.set("id", encode(r.LogID))
	if r.Service != "" && !grant.hides("service") {
		source = r.Service
	}
	o.set("source", encode(source))
	kind := "audit."
	if r.ObjectType != "" && !grant.hides("object_type") {
		kind += r.ObjectType + "."
	}
	o.set("type", encode(kind+string(r.Action)))
	o.set("time", encode(r.Timestamp.UTC().Format(time.RFC3339Nano)))
	if r.ObjectType != "" && r.ObjectID != "" && !grant.hides("object_type") && !grant.hides("object_id") {
		o.set("subject", encode(r.ObjectType+"/"+r.ObjectID))
	}
	o.set("datacontenttype", encode(event.ContentType))
	o.set("data", data)
	return o.MarshalJSON()
}
