package audit

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/mask"
)

// table is a registered model as one handle sees it, with its naming strategy. It is immutable once
// its set is compiled.
type table struct {
	model   *model
	schema  *schema.Schema
	columns []column
	shown   []int   // those that are not hidden
	key     []int   // the primary key in columns; empty if there is none
	repr    int     // the column that names a row for people; -1 if there is none
	edges   []*edge // the ways to the targets, of which a row has at most one
	refs    [][]int // the sets of columns by which edges of other tables point here
	capture capture.Model
	// relations are those whose rows are in this join table; of a registered model there are none.
	relations []*relation
}

// column is one column of the images of a table.
type column struct {
	field  *schema.Field
	name   string
	label  string
	kind   kind
	masked bool
	masker func(any) any
	plain  bool // unmasked by the application: its texts are not searched for secrets either
	hidden bool // excluded, but read because a key or the mark of deleted rows needs it
	auto   bool // set by GORM with every update
	soft   bool // marks deleted rows
}

// tables are all registered models as one handle sees them.
type tables struct {
	version  uint64
	list     []*table
	joins    []*table // join tables of tracked relations
	others   []*table // what they lead to and is not registered
	policies *policies
	byType   map[reflect.Type]*table
	byName   map[string]*table // by the table's name as in the schema and, if that is clear, without its database schema
}

// compile parses the models with the naming strategy of db. The error has all mistakes; the tables
// that have none are there all the same.
func compile(db *gorm.DB, models []*model, version uint64, rules *mask.Rules, ls labels) (*tables, error) {
	ts := &tables{version: version, byType: make(map[reflect.Type]*table), byName: make(map[string]*table)}
	var errs []error
	for _, m := range models {
		t, err := parse(db, m)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: model %s: %w", ErrRegistration, m.typ, err))
			continue
		}
		ts.list = append(ts.list, t)
		ts.byType[m.typ] = t
	}
	needed := make(map[*table][]*schema.Field)
	links := make(map[*table][]link)
	for _, t := range ts.list {
		needed[t] = append(needed[t], t.schema.PrimaryFields...)
		found, err := ts.links(t)
		if err != nil {
			errs = append(errs, fmt.Errorf("%w: model %s: %w", ErrRegistration, t.model.typ, err))
			continue
		}
		links[t] = found
		for _, l := range found {
			needed[t] = append(needed[t], l.fields()...)
			needed[l.parent] = append(needed[l.parent], l.parentFields...)
		}
	}
	var finish []func() error
	for _, t := range ts.list {
		more, relErrs := ts.compileRelations(db, t, needed, rules)
		finish = append(finish, more...)
		for _, err := range relErrs {
			errs = append(errs, fmt.Errorf("%w: model %s: %w", ErrRegistration, t.model.typ, err))
		}
	}
	for _, t := range ts.list {
		if err := t.compileColumns(needed[t], rules, ls); err != nil {
			errs = append(errs, fmt.Errorf("%w: model %s: %w", ErrRegistration, t.model.typ, err))
		}
	}
	for t, found := range links {
		for _, l := range found {
			t.edges = append(t.edges, l.edge(t))
		}
	}
	errs = append(errs, ts.checkCycles()...)
	for _, t := range ts.list {
		for _, e := range t.edges {
			e.parent.addRef(e.ref)
		}
	}
	for _, f := range finish {
		if err := f(); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrRegistration, err))
		}
	}
	ts.indexNames()
	return ts, errors.Join(errs...)
}

func parse(db *gorm.DB, m *model) (*table, error) {
	st := &gorm.Statement{DB: db}
	// Code of the application runs in it (TableName, GormDataType).
	if err := guard("parsing the model", func() error { return st.Parse(reflect.New(m.typ).Interface()) }); err != nil {
		return nil, err
	}
	return &table{model: m, schema: st.Schema, repr: -1}, nil
}

// adHoc compiles a model that is not registered, for Log.
func adHoc(db *gorm.DB, m *model, rules *mask.Rules, ls labels) (*table, error) {
	t, err := parse(db, m)
	if err != nil {
		return nil, err
	}
	return t, t.compileColumns(t.schema.PrimaryFields, rules, ls)
}

// compileColumns decides which columns are read and how they are shown.
func (t *table) compileColumns(needed []*schema.Field, rules *mask.Rules, ls labels) error {
	var errs []error
	set := &t.model.set
	position := make(map[*schema.Field]int)
	for _, name := range t.schema.DBNames {
		f := t.schema.FieldsByDBName[name]
		// No column of the table, but an expression in somebody's SELECT.
		if f.IgnoreMigration && !f.Creatable && !f.Updatable {
			continue
		}
		tag := t.model.tagOf(f)
		excluded := set.excludes(f, tag)
		if excluded && named(set.only, f) {
			errs = append(errs, fmt.Errorf("field %q is named by Only and excluded", f.Name))
		}
		if excluded && f.PrimaryKey {
			errs = append(errs, fmt.Errorf("the primary key %q cannot be excluded", f.Name))
		}
		// Without the mark of deleted rows a restored one would look unchanged.
		if excluded && !slices.Contains(needed, f) && !isSoftDelete(f) {
			continue
		}
		position[f] = len(t.columns)
		c := column{field: f, name: name, label: tag.label, kind: kindOf(f), hidden: excluded, auto: f.AutoUpdateTime > 0, soft: isSoftDelete(f)}
		for field, label := range set.labels {
			if means(field, f) {
				c.label = label
			}
		}
		var err error
		if c.label == "" {
			c.label, err = ls.label(t.model.info.ModelName, name)
			errs = append(errs, err)
		}
		c.masker, err = set.maskerOf(f, tag)
		errs = append(errs, err)
		explicit := tag.mask || named(set.masked, f)
		open := tag.unmask || named(set.unmasked, f)
		if explicit && open {
			errs = append(errs, fmt.Errorf("field %q is masked and unmasked", f.Name))
		}
		c.masked = explicit || !open && (rules.Name(f.Name) || rules.Name(name))
		c.plain = open
		t.columns = append(t.columns, c)
	}
	for _, f := range t.schema.PrimaryFields {
		if i, ok := position[f]; ok {
			t.key = append(t.key, i)
		}
	}
	t.capture = capture.Model{Schema: t.schema, Owner: t}
	for i := range t.columns {
		t.capture.Columns = append(t.capture.Columns, t.columns[i].name)
	}
	t.shown = t.all()
	t.findRepr()
	return errors.Join(errs...)
}

// findRepr finds the column that names a row when the model does not say how.
func (t *table) findRepr() {
	for _, name := range []string{"name", "title", "username", "email", "code"} {
		for i := range t.columns {
			if c := &t.columns[i]; c.name == name && !c.masked && c.masker == nil && !c.hidden {
				t.repr = i
				return
			}
		}
	}
}

func (t *table) addRef(columns []int) {
	if !slices.ContainsFunc(t.refs, func(c []int) bool { return slices.Equal(c, columns) }) {
		t.refs = append(t.refs, columns)
	}
}

func (t *table) position(f *schema.Field) int {
	return slices.IndexFunc(t.columns, func(c column) bool { return c.field == f || c.name == f.DBName })
}

// indexNames makes tables findable by their names.
func (ts *tables) indexNames() {
	all := slices.Concat(ts.list, ts.joins)
	bare := make(map[string]int)
	for _, t := range all {
		name := t.schema.Table
		// Of two models of one table the first one registered stands for it.
		if ts.byName[name] == nil {
			ts.byName[name] = t
			bare[bareName(name)]++
		}
	}
	for _, t := range all {
		if b := bareName(t.schema.Table); bare[b] == 1 && ts.byName[b] == nil {
			ts.byName[b] = t
		}
	}
}

// bareName is a table's name without its database schema and quotes.
func bareName(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return strings.Trim(name, "\"`[]")
}

// quotes are what databases put around names.
var quotes = strings.NewReplacer(`"`, "", "`", "")

// find gives the table that st writes, nil if its model is not registered.
func (ts *tables) find(st *gorm.Statement) *table {
	if st.TableExpr != nil && len(st.TableExpr.Vars) > 0 { // Table("?", clause.Table{Name: "x"}), which leaves st.Table alone
		name := capture.TableName(st)
		for _, n := range []string{name, bareName(name)} {
			if t := ts.byName[n]; t != nil {
				return t
			}
		}
	}
	var byType *table
	if st.Schema != nil {
		byType = ts.byType[st.Schema.ModelType]
		if byType != nil && (st.Table == "" || st.Table == bareName(byType.schema.Table)) {
			return byType
		}
	}
	// A table of another model: Table("x"), a join table, a struct of another package on our table.
	if st.TableExpr != nil && strings.ContainsRune(st.TableExpr.SQL, '.') {
		name, _, _ := strings.Cut(strings.TrimSpace(st.TableExpr.SQL), " ")
		if t := ts.byName[quotes.Replace(name)]; t != nil {
			return t
		}
	}
	if t := ts.byName[st.Table]; t != nil {
		return t
	}
	if st.TableExpr != nil {
		// Table("customers AS c") has the alias in st.Table.
		name, _, alias := strings.Cut(strings.TrimSpace(st.TableExpr.SQL), " ")
		if t := ts.byName[bareName(name)]; alias && t != nil {
			return t
		}
	}
	return byType
}

func isSoftDelete(f *schema.Field) bool {
	_, ok := reflect.New(f.IndirectFieldType).Interface().(schema.DeleteClausesInterface)
	return ok
}
