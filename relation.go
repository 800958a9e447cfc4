package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/mask"
)

// ExtraRelations has, in the record of a tracked relation, the ids of what was added and removed, as
// names need not be unique: {"Tags": {"added": ["7"], "removed": []}}.
const ExtraRelations = "relations"

// relation is a many-to-many relation that is recorded, as seen from its owner.
type relation struct {
	name     string // the Go field
	label    string
	toOwner  *edge // from rows of the join table
	toTarget *edge
}

// relationChange is what happened to one relation of one object in a unit.
type relationChange struct {
	relation *relation
	owner    want
	targets  []want // in the order of their first row
	net      map[rowKey]int
}

// compileRelations makes tables of the join tables of tracked relations. needed gets the columns that
// they refer to; the edges are made by finish, when the columns are compiled.
func (ts *tables) compileRelations(db *gorm.DB, t *table, needed map[*table][]*schema.Field, rules *mask.Rules) (finish []func() error, errs []error) {
	for _, name := range t.model.set.relations {
		rel := t.schema.Relationships.Relations[name]
		if rel == nil || rel.Type != schema.Many2Many || rel.JoinTable == nil {
			errs = append(errs, fmt.Errorf("TrackRelation names %q, which is no many-to-many relation of the model", name))
			continue
		}
		if r := ts.registered(rel.JoinTable.Table); r != nil {
			errs = append(errs, fmt.Errorf("TrackRelation names %q, whose join table %q is registered as %s: its rows are recorded already", name, rel.JoinTable.Table, r.model.typ))
			continue
		}
		target, err := ts.targetTable(db, rel.FieldSchema.ModelType)
		if err != nil {
			errs = append(errs, fmt.Errorf("TrackRelation of %q: %w", name, err))
			continue
		}
		join := ts.joinTable(rel.JoinTable)
		owners, targets := link{parent: t}, link{parent: target}
		for _, ref := range rel.References {
			l := &targets
			if ref.OwnPrimaryKey {
				l = &owners
			}
			l.childFields, l.parentFields = append(l.childFields, ref.ForeignKey), append(l.parentFields, ref.PrimaryKey)
		}
		needed[t] = append(needed[t], owners.parentFields...)
		needed[target] = append(needed[target], targets.parentFields...)
		r := &relation{name: name, label: t.model.set.labels[name]}
		if tag := t.model.tags[name]; r.label == "" {
			r.label = tag.label
		}
		finish = append(finish, func() error {
			if len(join.columns) == 0 {
				if err := join.compileColumns(join.schema.Fields, rules, nil); err != nil {
					return err
				}
			}
			if len(target.columns) == 0 { // not registered
				if err := target.compileColumns(needed[target], rules, nil); err != nil {
					return err
				}
			}
			r.toOwner, r.toTarget = owners.edge(join), targets.edge(join)
			t.addRef(r.toOwner.ref)
			target.addRef(r.toTarget.ref)
			join.relations = append(join.relations, r)
			return nil
		})
	}
	return finish, errs
}

// registered gives the registered model of a table.
func (ts *tables) registered(name string) *table {
	for _, t := range ts.list {
		if t.schema.Table == name {
			return t
		}
	}
	return nil
}

// joinTable gives the one table of a join table, which both of its sides may track.
func (ts *tables) joinTable(s *schema.Schema) *table {
	for _, t := range ts.joins {
		if t.schema.Table == s.Table {
			return t
		}
	}
	t := &table{model: &model{typ: s.ModelType, info: Info{ModelName: s.Table}}, schema: s, repr: -1}
	ts.joins = append(ts.joins, t)
	return t
}

// targetTable gives the table that a relation leads to; one that is not registered is there to name its
// rows.
func (ts *tables) targetTable(db *gorm.DB, typ any) (*table, error) {
	rt, _ := typeOf(typ)
	if t := ts.byType[rt]; t != nil {
		return t, nil
	}
	for _, t := range ts.others {
		if t.model.typ == rt {
			return t, nil
		}
	}
	m, err := newModel(rt, nil)
	if err != nil {
		return nil, err
	}
	t, err := parse(db, m)
	if err != nil {
		return nil, err
	}
	ts.others = append(ts.others, t)
	return t, nil
}

// mergeRelations replaces the rows of tracked join tables by one change for each object, relation and
// batch. What was added and removed again is no change. It gives how many changes go with an object
// that is deleted in the unit.
func mergeRelations(items []*pending) (out []*pending, suppressed int64) {
	tracked := false
	for _, p := range items {
		tracked = tracked || p.table != nil && len(p.table.relations) > 0 && p.summary == nil
	}
	if !tracked {
		return items, 0
	}
	type group struct {
		relation *relation
		owner    rowKey
		batch    *Batch
	}
	groups := make(map[group]*pending)
	deleted := make(map[rowKey]*pending)
	for _, p := range items {
		if p.table == nil || len(p.table.relations) == 0 || p.summary != nil {
			out = append(out, p)
			p.noteDeleted(deleted)
			continue
		}
		for _, r := range p.table.relations {
			for _, s := range p.relationSteps(r) {
				g := group{r, s.owner.rowKey(), p.who.batch}
				m := groups[g]
				if m == nil {
					m = &pending{
						handle: p.handle, table: r.toOwner.parent, name: p.name, who: p.who, time: p.time, op: capture.Update,
						rel: &relationChange{relation: r, owner: s.owner, net: make(map[rowKey]int)},
					}
					groups[g] = m
					out = append(out, m)
				}
				k := s.target.rowKey()
				if _, seen := m.rel.net[k]; !seen {
					m.rel.targets = append(m.rel.targets, s.target)
				}
				m.rel.net[k] += s.by
			}
		}
	}
	kept := out[:0]
	for _, p := range out {
		if p.rel == nil {
			kept = append(kept, p)
			continue
		}
		n := int64(0)
		for _, by := range p.rel.net {
			if by != 0 {
				n++
			}
		}
		if n == 0 {
			continue
		}
		if owner := deleted[p.rel.owner.rowKey()]; owner != nil {
			suppressed++
			owner.addCascaded(strings.ToLower(p.rel.relation.name), n)
			continue
		}
		kept = append(kept, p)
	}
	return kept, suppressed
}

// relationStep is one row that came or went.
type relationStep struct {
	owner, target want
	by            int
}

func (p *pending) relationSteps(r *relation) (steps []relationStep) {
	step := func(row []any, by int) {
		owner, ok := r.toOwner.parentKey(row)
		target, ok2 := r.toTarget.parentKey(row)
		if ok && ok2 {
			steps = append(steps, relationStep{want{r.toOwner, r.toOwner.space(p.space()), owner}, want{r.toTarget, r.toTarget.space(p.space()), target}, by})
		}
	}
	switch p.op {
	case capture.Insert, capture.Restore:
		step(p.after, 1)
	case capture.Delete, capture.SoftDelete:
		step(p.before, -1)
	default:
		if p.before != nil && p.after != nil { // else it is not known what it was
			step(p.before, -1)
			step(p.after, 1)
		}
	}
	return steps
}

// noteDeleted follows which rows are gone.
func (p *pending) noteDeleted(deleted map[rowKey]*pending) {
	if p.table == nil || p.entry != nil || p.summary != nil {
		return
	}
	for _, columns := range p.table.refs {
		if p.deletes() {
			deleted[p.table.rowKey(p.space(), columns, pick(p.before, columns))] = p
		} else if p.after != nil {
			delete(deleted, p.table.rowKey(p.space(), columns, pick(p.after, columns)))
		}
	}
}

func (p *pending) addCascaded(objectType string, n int64) {
	if p.cascaded == nil {
		p.cascaded = make(map[string]int64)
	}
	p.cascaded[objectType] += n
}

// describeRelation fills the record of a tracked relation.
func (h *handle) describeRelation(ctx context.Context, p *pending, ps *parents, r *event.Record) {
	c := p.rel
	if r.ObjectID == "" {
		r.ObjectID = c.owner.id()
		r.ObjectRepr = p.table.fallbackRepr(r.ObjectID)
	}
	names := map[bool][]string{true: {}, false: {}} // by whether they were added
	ids := map[bool][]string{true: {}, false: {}}
	for _, w := range c.targets {
		by := c.net[w.rowKey()]
		if by == 0 {
			continue
		}
		t := w.edge.parent
		id, name := w.id(), ""
		if row := ps.rows[w.rowKey()]; row != nil {
			id, name = t.objectID(row), t.objectRepr(ctx, row, &h.auditor.rules, h.modelFailed(ctx))
		}
		if name == "" {
			name = t.fallbackRepr(id)
		}
		names[by > 0], ids[by > 0] = append(names[by > 0], name), append(ids[by > 0], id)
	}
	list := func(names []string) json.RawMessage { return encode(names) }
	ch := event.Change{Field: c.relation.name, Label: c.relation.label, Type: event.TypeJSON, Old: list(names[false]), New: list(names[true])}
	r.Changes, r.ChangedFields = []event.Change{ch}, []string{ch.Field}
	field := ch.Label
	if field == "" {
		field = ch.Field
	}
	r.ChangeMessage = event.TableMessage([]event.MessageRow{{Field: field, OldValue: ch.Old, NewValue: ch.New}})
	setExtra(r, ExtraRelations, map[string]any{ch.Field: map[string]any{"added": ids[true], "removed": ids[false]}})
}
