package outbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gormtrail/audit/event"
)

// Bounds of a row, so that many of them can be read at once.
const (
	rowRecords = 500
	rowBytes   = 256 << 10
)

// Bounds of one INSERT. MySQL takes 16 MiB in the configurations that are about.
const (
	insertRows  = 500
	insertBytes = 4 << 20
)

// row is a row of the table: records of one transaction.
type row struct {
	created int64 // Unix milliseconds
	records int
	body    string // an encoded record a line
}

// newRows gives the rows of records, and those that cannot be encoded as errors. encodings has those
// that are known, and may be nil.
func newRows(records []event.Record, encodings [][]byte, created int64) (rows []row, rejected []error) {
	var body strings.Builder
	count := 0
	end := func() {
		if count > 0 {
			rows = append(rows, row{created: created, records: count, body: body.String()})
			body.Reset()
			count = 0
		}
	}
	for i := range records {
		var encoded []byte
		var err error
		if i < len(encodings) && records[i].ProducerID == "" && records[i].Seq == 0 {
			encoded = encodings[i]
		}
		if encoded == nil {
			plain := records[i]
			plain.ProducerID, plain.Seq = "", 0
			encoded, err = event.Encode(plain)
		}
		if err == nil && bytes.IndexByte(encoded, '\n') >= 0 { // an encoding has no white space
			err = errors.New("its encoding has a line feed")
		}
		if err != nil {
			rejected = append(rejected, fmt.Errorf("record %q: %w", records[i].LogID, err))
			continue
		}
		if count >= rowRecords || body.Len()+len(encoded) > rowBytes {
			end()
		}
		body.Write(encoded)
		body.WriteByte('\n')
		count++
	}
	end()
	return rows, rejected
}

// chunks cuts rows into parts that fit into one INSERT each.
func chunks(rows []row) [][]row {
	var out [][]row
	start, size := 0, 0
	for i, r := range rows {
		if i > start && (i-start >= insertRows || size+len(r.body) > insertBytes) {
			out = append(out, rows[start:i])
			start, size = i, 0
		}
		size += len(r.body)
	}
	return append(out, rows[start:])
}

// linesOf gives the encoded records of a body; false if they are not as many as the row says.
func linesOf(body []byte, records int) ([][]byte, bool) {
	body, ok := bytes.CutSuffix(body, []byte("\n"))
	if !ok || bytes.Count(body, []byte("\n")) != records-1 {
		return nil, false
	}
	return bytes.Split(body, []byte("\n")), true
}

// idOf gives the log_id of an encoded record, as a message has it.
func idOf(encoded []byte) string {
	id := ""
	if rest, ok := bytes.CutPrefix(encoded, []byte(`{"log_id":"`)); ok {
		if end := bytes.IndexAny(rest, `"\`); end >= 0 && rest[end] == '"' {
			id = string(rest[:end])
		}
	}
	if id == "" {
		var r struct {
			LogID string `json:"log_id"`
		}
		if json.Unmarshal(encoded, &r) == nil {
			id = r.LogID
		}
	}
	if len(id) > event.MaxIDLength {
		id = id[:event.MaxIDLength]
	}
	return id
}
