package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/event"
)

// naively is how auditing is mostly written by hand: a SELECT before the write and one after it, in
// callbacks, and one record for each row. It is not right: other writers come in between, it does not know
// of a rollback, and the SELECTs see other rows than the write.
type naively struct {
	records int64
	last    event.Record
}

func installNaive(db *gorm.DB) (Installed, error) {
	n := &naively{}
	c := db.Callback()
	return n, errors.Join(
		c.Create().After("gorm:create").Before("gorm:commit_or_rollback_transaction").Register("naive:after", n.after),
		c.Update().Before("gorm:update").Register("naive:before", n.before),
		c.Update().After("gorm:update").Before("gorm:commit_or_rollback_transaction").Register("naive:after", n.after),
		c.Delete().Before("gorm:delete").Register("naive:before", n.before),
		c.Delete().After("gorm:delete").Before("gorm:commit_or_rollback_transaction").Register("naive:after", n.after),
	)
}

const naiveKey = "naive:rows"

// find gives a query for the rows that the statement means.
func find(db *gorm.DB) *gorm.DB {
	st := db.Statement
	q := db.Session(&gorm.Session{NewDB: true, SkipHooks: true})
	if where, ok := st.Clauses["WHERE"]; ok {
		if expr, ok := where.Expression.(clause.Where); ok {
			q = q.Clauses(expr)
		}
	}
	for _, v := range []any{st.Model, st.Dest} {
		rows, ok := v.(*Customer)
		if ok && rows.ID != 0 {
			return q.Where("id = ?", rows.ID)
		}
	}
	return q
}

func (n *naively) before(db *gorm.DB) {
	if db.Error != nil {
		return
	}
	var rows []Customer
	if err := find(db).Find(&rows).Error; err != nil {
		_ = db.AddError(err)
		return
	}
	db.InstanceSet(naiveKey, rows)
}

func (n *naively) after(db *gorm.DB) {
	if db.Error != nil {
		return
	}
	var before []Customer
	if v, ok := db.InstanceGet(naiveKey); ok {
		before, _ = v.([]Customer)
	}
	var ids []uint
	for i := range before {
		ids = append(ids, before[i].ID)
	}
	if before == nil {
		switch dest := db.Statement.Dest.(type) {
		case *Customer:
			ids = append(ids, dest.ID)
		case []*Customer:
			for _, c := range dest {
				ids = append(ids, c.ID)
			}
		}
	}
	var rows []Customer
	if len(ids) > 0 {
		if err := db.Session(&gorm.Session{NewDB: true, SkipHooks: true}).Where("id IN ?", ids).Find(&rows).Error; err != nil {
			_ = db.AddError(err)
			return
		}
	}
	after := make(map[uint]*Customer, len(rows))
	for i := range rows {
		after[rows[i].ID] = &rows[i]
	}
	old := make(map[uint]*Customer, len(before))
	for i := range before {
		old[before[i].ID] = &before[i]
	}
	for _, id := range ids {
		if err := n.record(id, old[id], after[id]); err != nil {
			_ = db.AddError(err)
		}
	}
}

func (n *naively) record(id uint, before, after *Customer) error {
	r := event.Record{LogID: event.NewID(time.Now()), Timestamp: time.Now(), Action: event.ActionChange, ObjectType: "customer", ObjectID: strconv.FormatUint(uint64(id), 10)}
	switch {
	case before == nil:
		r.Action = event.ActionAdd
	case after == nil:
		r.Action = event.ActionDelete
	}
	typ := reflect.TypeFor[Customer]()
	for i := range typ.NumField() {
		c := event.Change{Field: typ.Field(i).Name}
		var err, err2 error
		var was, is any
		if before != nil {
			was = reflect.ValueOf(before).Elem().Field(i).Interface()
			c.Old, err = json.Marshal(was)
		}
		if after != nil {
			is = reflect.ValueOf(after).Elem().Field(i).Interface()
			c.New, err2 = json.Marshal(is)
		}
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		if before == nil || after == nil || !reflect.DeepEqual(was, is) {
			r.Changes = append(r.Changes, c)
		}
	}
	n.records++
	n.last = r
	_, err := event.Encode(r)
	return err
}

func (n *naively) Check(rows int64) error {
	if n.records != rows {
		return fmt.Errorf("%d records, want %d", n.records, rows)
	}
	return nil
}

func (n *naively) Close(context.Context) error { return nil }
