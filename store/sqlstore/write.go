package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// WriteTx writes records within the open transaction of conn: they are there if and only if it commits.
// An error says that some were not written; it has a *LostError, and unless Config.Strict is set the
// transaction can go on. All records are written in one statement if they are not very many.
func (s *Store) WriteTx(ctx context.Context, conn gorm.ConnPool, records []event.Record) error {
	return s.WriteEncodedTx(ctx, conn, records, nil)
}

// WriteEncodedTx is WriteTx for records that are encoded already, as event.Encode does it. encoded may be
// nil, and so may each encoding.
func (s *Store) WriteEncodedTx(ctx context.Context, conn gorm.ConnPool, records []event.Record, encoded [][]byte) error {
	rows := make([]row, 0, len(records))
	var errs []error
	for i := range records {
		var text []byte
		if i < len(encoded) {
			text = encoded[i]
		}
		row, err := newRow(&records[i], text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		rows = append(rows, row)
	}
	lost := len(errs)
	if len(rows) > 0 && (lost == 0 || !s.cfg.Strict) {
		if err := s.d.insertTx(ctx, conn, s.names, rows, s.cfg); err != nil {
			errs = append(errs, err)
			lost = len(records)
		}
	}
	if lost == 0 {
		return nil
	}
	return &LostError{Records: lost, Err: errors.Join(errs...)}
}

// Write implements store.Writer, in a transaction of its own.
func (s *Store) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	results := make([]store.Result, len(docs))
	rows := make([]row, 0, len(docs))
	at := make([]int, 0, len(docs)) // index of the row's document
	for i, d := range docs {
		row, err := newRow(&docs[i].Record, d.Encoded)
		if err != nil {
			results[i] = store.Result{Status: store.Poison, Err: err}
			continue
		}
		rows = append(rows, row)
		at = append(at, i)
	}
	err := s.inTx(ctx, func(conn gorm.ConnPool) error {
		for _, part := range chunks(rows) {
			if err := s.writeChunk(ctx, conn, part, func(i int, r store.Result) { results[at[i]] = r }); err != nil {
				return err
			}
			at = at[len(part):]
		}
		return nil
	})
	if err != nil {
		return nil, unavailable("write", err)
	}
	return results, nil
}

// errAgain undoes the statement that wrote only some of its rows.
var errAgain = errors.New("some are there")

// writeChunk inserts all rows at once, which is the rule, or else one by one.
func (s *Store) writeChunk(ctx context.Context, conn gorm.ConnPool, rows []row, result func(int, store.Result)) error {
	err := withSavepoint(ctx, conn, false, func() error {
		count, err := s.d.insert(ctx, conn, s.names, rows, true)
		if err == nil && count != int64(len(rows)) {
			err = errAgain
		}
		return err
	})
	if err == nil {
		for i := range rows {
			result(i, store.Result{Status: store.Stored})
		}
		return nil
	}
	if !errors.Is(err, errAgain) {
		return err
	}
	for i, r := range rows {
		count, err := s.d.insert(ctx, conn, s.names, rows[i:i+1], true)
		if err != nil {
			return err
		}
		if count == 1 {
			result(i, store.Result{Status: store.Stored})
			continue
		}
		res, err := s.compare(ctx, conn, r)
		if err != nil {
			return err
		}
		result(i, res)
	}
	return nil
}

// compare says whether the record that is stored under the log_id of r is the same.
func (s *Store) compare(ctx context.Context, conn gorm.ConnPool, r row) (store.Result, error) {
	var body []byte
	err := conn.QueryRowContext(ctx, "SELECT body FROM "+s.names.Table("")+" WHERE log_id = "+s.d.Placeholder(1), r.logID).Scan(&body)
	if err != nil {
		return store.Result{}, err
	}
	same := bytes.Equal(body, []byte(r.body))
	if !same {
		// Fields that are added on the way (stream, offset, …) make no difference.
		before, err1 := contentHash(body)
		after, err2 := contentHash([]byte(r.body))
		same = err1 == nil && err2 == nil && before == after
	}
	if same {
		return store.Result{Status: store.Duplicate}, nil
	}
	return store.Result{Status: store.Conflict, Err: fmt.Errorf("sqlstore: log_id %q is stored with other content", r.logID)}, nil
}

func contentHash(body []byte) (string, error) {
	r, err := event.Decode(body)
	if err != nil {
		return "", err
	}
	return event.ContentHash(r)
}
