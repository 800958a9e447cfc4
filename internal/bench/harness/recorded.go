package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// Recorded is what was recorded of a write of one row.
type Recorded struct {
	// Key is the row's primary key as text; empty if the record has none.
	Key string
	// Old and New have the values by column, or by the field of Customer; nil if the record has none.
	Old, New map[string]any
}

// Witness is an Installed whose records can be looked at.
type Witness interface {
	// Recorded gives what was recorded since the last call. db is the handle's database without the variant.
	Recorded(ctx context.Context, db *gorm.DB) ([]Recorded, error)
}

// Values decodes the values of a row; nil if there are none.
func Values(data []byte) (map[string]any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("%.100q: %w", data, err)
	}
	return out, nil
}

// Recorded looks at what the sink was given, or at the embedded table.
func (o *ours) Recorded(ctx context.Context, db *gorm.DB) ([]Recorded, error) {
	var records []event.Record
	switch {
	case o.models == 0:
		return nil, nil
	case o.sink != nil:
		o.sink.keep = true // from the first look on, which is after what is measured
		records, o.sink.kept = o.sink.kept, nil
	default:
		table, err := sqlstore.New(db, sqlstore.Config{SkipMigrate: true})
		if err != nil {
			return nil, err
		}
		page, err := table.Search(ctx, store.Query{TotalLimit: -1})
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			if !o.seen[r.LogID] {
				o.seen[r.LogID] = true
				records = append(records, r)
			}
		}
	}
	return fromRecords(records)
}

// Recorded gives the newest record.
func (n *naively) Recorded(context.Context, *gorm.DB) ([]Recorded, error) {
	last := n.last
	n.last = event.Record{}
	if last.LogID == "" {
		return nil, nil
	}
	return fromRecords([]event.Record{last})
}

func fromRecords(records []event.Record) ([]Recorded, error) {
	var out []Recorded
	for _, r := range records {
		if strings.ToLower(r.ObjectType) != "customer" {
			continue // about auditing itself
		}
		one := Recorded{Key: r.ObjectID}
		for _, c := range r.Changes {
			for _, side := range []struct {
				values *map[string]any
				data   json.RawMessage
			}{{&one.Old, c.Old}, {&one.New, c.New}} {
				if side.data == nil {
					continue
				}
				var v any
				if err := json.Unmarshal(side.data, &v); err != nil {
					return nil, err
				}
				if *side.values == nil {
					*side.values = make(map[string]any)
				}
				(*side.values)[c.Field] = v
			}
		}
		out = append(out, one)
	}
	return out, nil
}
