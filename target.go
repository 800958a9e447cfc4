package audit

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm/schema"
)

// edge is the way from a dependent row to its parent.
type edge struct {
	parent *table
	fk     []int // columns of the dependent
	ref    []int // the columns of the parent that fk holds the values of
	isKey  bool  // ref is the parent's whole primary key, in its order
	// kinds are polymorphic type columns of the dependent with the values that mean this parent.
	kinds []edgeKind
}

type edgeKind struct {
	column int
	value  string
}

// link is an edge in terms of fields, before the columns are compiled.
type link struct {
	parent       *table
	childFields  []*schema.Field
	parentFields []*schema.Field
	kindFields   []*schema.Field
	kindValues   []string
}

func (l link) fields() []*schema.Field { return append(slices.Clone(l.childFields), l.kindFields...) }

func (l link) edge(t *table) *edge {
	e := &edge{parent: l.parent}
	for i, f := range l.childFields {
		e.fk = append(e.fk, t.position(f))
		e.ref = append(e.ref, l.parent.position(l.parentFields[i]))
	}
	for i, f := range l.kindFields {
		e.kinds = append(e.kinds, edgeKind{t.position(f), l.kindValues[i]})
	}
	e.isKey = len(e.ref) > 0 && slices.Equal(e.ref, l.parent.key)
	if !e.isKey && len(e.ref) == len(l.parent.key) {
		e.sortByKey()
	}
	return e
}

// sortByKey brings the references into the order of the parent's key, if they are the key.
func (e *edge) sortByKey() {
	fk := make([]int, 0, len(e.fk))
	for _, k := range e.parent.key {
		i := slices.Index(e.ref, k)
		if i < 0 {
			return
		}
		fk = append(fk, e.fk[i])
	}
	e.fk, e.ref, e.isKey = fk, slices.Clone(e.parent.key), true
}

// links finds the targets of t and the relations that lead to them.
func (ts *tables) links(t *table) ([]link, error) {
	var links []link
	for _, target := range t.model.set.targets {
		l, err := ts.link(t, target)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	if len(links) < 2 {
		return links, nil
	}
	for i, l := range links {
		if len(l.kindFields) == 0 {
			return nil, fmt.Errorf("it has several targets, but the relation to %s has no type column that says to which of them a row belongs", l.parent.model.fullName())
		}
		if slices.ContainsFunc(links[:i], func(o link) bool { return o.parent == l.parent }) {
			return nil, fmt.Errorf("target %s is named twice", l.parent.model.fullName())
		}
	}
	return links, nil
}

// link finds one target of t and the relation that leads to it.
func (ts *tables) link(t *table, to target) (link, error) {
	parent, err := ts.targetOf(to.parent)
	if err != nil {
		return link{}, err
	}
	found := relations(t, parent)
	if len(to.via) > 0 {
		found = slices.DeleteFunc(found, func(l named1) bool { return !l.is(to.via) })
		if len(found) == 0 {
			return foreignKey(t, parent, to.via)
		}
	}
	found = distinct(found)
	switch len(found) {
	case 1:
		return found[0].link, nil
	case 0:
		if l, ok := conventional(t, parent); ok {
			return l, nil
		}
		return link{}, fmt.Errorf("target %s: no relation leads to it, and there is no field %s: declare the association, or name the foreign key with Target(…, field)",
			parent.model.fullName(), conventionalName(parent))
	}
	names := make([]string, len(found))
	for i, l := range found {
		names[i] = l.name
	}
	return link{}, fmt.Errorf("target %s: several relations lead to it (%s): name one with Target(…, relation)", parent.model.fullName(), strings.Join(names, ", "))
}

// foreignKey is the link over fields that hold the parent's primary key, in its order.
func foreignKey(t, parent *table, names []string) (link, error) {
	l := link{parent: parent, parentFields: parent.schema.PrimaryFields}
	for _, name := range names {
		f := t.schema.LookUpField(name)
		if f == nil || f.DBName == "" {
			return link{}, fmt.Errorf("target %s: no relation or foreign key %q leads to it", parent.model.fullName(), name)
		}
		l.childFields = append(l.childFields, f)
	}
	if len(names) != len(l.parentFields) {
		return link{}, fmt.Errorf("target %s: the foreign key has %d fields (%s), want one for each of the %d of its primary key",
			parent.model.fullName(), len(names), strings.Join(names, ", "), len(l.parentFields))
	}
	return l, nil
}

// targetOf finds the table that a target means.
func (ts *tables) targetOf(target any) (*table, error) {
	name, ok := target.(string)
	if !ok {
		typ, _ := typeOf(target)
		if parent := ts.byType[typ]; parent != nil {
			return parent, nil
		}
		return nil, fmt.Errorf("target %s is not registered", typ)
	}
	name = strings.ToLower(strings.TrimSpace(name))
	for _, p := range ts.list {
		if p.model.fullName() == name || p.model.info.ModelName == name {
			return p, nil
		}
	}
	known := make([]string, len(ts.list))
	for i, p := range ts.list {
		known[i] = p.model.fullName()
	}
	slices.Sort(known)
	return nil, fmt.Errorf("target %q is not registered, want one of: %s", target, strings.Join(known, ", "))
}

// named1 is a link with the name of its relation.
type named1 struct {
	link
	name string
}

// is reports whether the link is meant by the name of a relation or by all fields of its foreign key.
func (l named1) is(via []string) bool {
	if len(via) == 1 && l.name == via[0] {
		return true
	}
	if len(via) != len(l.childFields) {
		return false
	}
	for _, name := range via {
		if !slices.ContainsFunc(l.childFields, func(f *schema.Field) bool { return means(name, f) }) {
			return false
		}
	}
	return true
}

// relations gives the links from t to parent that the two schemas declare.
func relations(t, parent *table) []named1 {
	var found []named1
	for _, rel := range t.schema.Relationships.BelongsTo {
		if rel.FieldSchema.ModelType == parent.model.typ {
			found = append(found, named1{linkOf(parent, rel.References), rel.Name})
		}
	}
	rels := slices.Concat(parent.schema.Relationships.HasMany, parent.schema.Relationships.HasOne)
	for _, rel := range rels {
		if rel.FieldSchema.ModelType == t.model.typ {
			found = append(found, named1{linkOf(parent, rel.References), rel.Name})
		}
	}
	return slices.DeleteFunc(found, func(l named1) bool { return len(l.childFields) == 0 })
}

func linkOf(parent *table, refs []*schema.Reference) link {
	l := link{parent: parent}
	for _, ref := range refs {
		if ref.PrimaryValue != "" {
			l.kindFields = append(l.kindFields, ref.ForeignKey)
			l.kindValues = append(l.kindValues, ref.PrimaryValue)
			continue
		}
		l.childFields = append(l.childFields, ref.ForeignKey)
		l.parentFields = append(l.parentFields, ref.PrimaryKey)
	}
	return l
}

// distinct drops links over the same columns: both sides may declare the one relation.
func distinct(found []named1) []named1 {
	var out []named1
	for _, l := range found {
		same := func(o named1) bool {
			return slices.EqualFunc(l.fields(), o.fields(), func(a, b *schema.Field) bool { return a.DBName == b.DBName })
		}
		if !slices.ContainsFunc(out, same) {
			out = append(out, l)
		}
	}
	return out
}

// conventional is the foreign key that is named after the parent without a declared relation.
func conventional(t, parent *table) (link, bool) {
	f := t.schema.LookUpField(conventionalName(parent))
	if f == nil || f.DBName == "" || len(parent.schema.PrimaryFields) != 1 {
		return link{}, false
	}
	return link{parent: parent, childFields: []*schema.Field{f}, parentFields: parent.schema.PrimaryFields}, true
}

func conventionalName(parent *table) string {
	key := "ID"
	if len(parent.schema.PrimaryFields) == 1 {
		key = parent.schema.PrimaryFields[0].Name
	}
	name := parent.model.typ.Name()
	r, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(r)) + name[n:] + key
}

// checkCycles reports targets that lead back to where they began, and cuts them.
func (ts *tables) checkCycles() []error {
	var errs []error
	for _, t := range ts.list {
		if path := t.wayTo(t, nil); path != nil {
			errs = append(errs, fmt.Errorf("%w: model %s: its targets go in a circle: %s -> %s", ErrRegistration, t.model.typ, t.model.fullName(), strings.Join(path, " -> ")))
			t.edges = nil
		}
	}
	return errs
}

// wayTo gives the names on the way over targets from t to another table, nil if there is none.
func (t *table) wayTo(to *table, seen []*table) []string {
	for _, e := range t.edges {
		name := e.parent.model.fullName()
		if e.parent == to {
			return []string{name}
		}
		if slices.Contains(seen, e.parent) {
			continue // a circle further on, which is reported there
		}
		seen = append(seen, e.parent)
		if rest := e.parent.wayTo(to, seen); rest != nil {
			return append([]string{name}, rest...)
		}
	}
	return nil
}

// parentKey gives the values with which row, an image of the dependent, points at its parent; false
// if it points at none.
func (e *edge) parentKey(row []any) ([]any, bool) {
	if row == nil {
		return nil, false
	}
	for _, k := range e.kinds {
		if textOf(row[k.column]) != k.value {
			return nil, false
		}
	}
	key := make([]any, len(e.fk))
	for i, c := range e.fk {
		if row[c] == nil {
			return nil, false
		}
		key[i] = row[c]
	}
	return key, true
}

// rowKey identifies a row of a table by the values of columns, so that they can be compared whatever
// types the driver gives them.
type rowKey struct {
	table *table
	space string // see pending.space
	key   string
}

func (t *table) rowKey(space string, columns []int, values []any) rowKey {
	var b strings.Builder
	for i, c := range columns {
		// With the column, as a row may be pointed at by several sets of columns.
		fmt.Fprintf(&b, "%d:%q;", c, textOf(values[i]))
	}
	return rowKey{t, space, b.String()}
}

// pick gives the values of columns in row.
func pick(row []any, columns []int) []any {
	values := make([]any, len(columns))
	for i, c := range columns {
		values[i] = row[c]
	}
	return values
}
