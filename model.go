package audit

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/internal/mask"
)

// model is a registered model, independent of any handle. It is immutable.
type model struct {
	typ  reflect.Type // struct
	info Info
	set  settings
	tags map[string]fieldTag // by the path of Go names
}

// fullName is the full type, such as hrm.employee.
func (m *model) fullName() string { return m.info.AppLabel + "." + m.info.ModelName }

// fieldTag is the `audit` tag of a struct field.
type fieldTag struct {
	mask, partial, unmask, exclude bool
	label                          string
}

// typeOf gives the struct type of a model, a pointer to one, or a slice of either.
func typeOf(m any) (reflect.Type, bool) {
	t, ok := m.(reflect.Type)
	if !ok {
		t = reflect.TypeOf(m)
	}
	for t != nil && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		t = t.Elem()
	}
	return t, t != nil && t.Kind() == reflect.Struct
}

// newModel reads everything that a registration says. It reports all mistakes.
func newModel(t reflect.Type, opts []Option) (*model, error) {
	m := &model{typ: t, tags: make(map[string]fieldTag)}
	for _, opt := range opts {
		if opt == nil {
			m.set.bad("an option is nil")
			continue
		}
		opt(&m.set)
	}
	m.methods()
	known := make(map[string]bool)
	m.walk(t, "", "", known, 0)
	m.checkNames(known)
	m.name()
	if len(m.set.errs) == 0 {
		return m, nil
	}
	errs := make([]error, len(m.set.errs))
	for i, err := range m.set.errs {
		errs[i] = fmt.Errorf("%w: model %s: %w", ErrRegistration, t, err)
	}
	return nil, errors.Join(errs...)
}

// methods reads what the model itself says. Options win.
func (m *model) methods() {
	fresh := reflect.New(m.typ).Interface()
	if p, ok := fresh.(interface{ AuditLogTarget() string }); ok && m.set.targets == nil {
		if err := guard("AuditLogTarget", func() error {
			m.set.targets = []target{{parent: p.AuditLogTarget()}}
			return nil
		}); err != nil {
			m.set.errs = append(m.set.errs, err)
		}
	}
	if _, ok := fresh.(interface{ AuditRepr() string }); ok && m.set.repr == nil {
		m.set.repr = func(model any) string { return model.(interface{ AuditRepr() string }).AuditRepr() }
	}
	for _, t := range m.set.targets {
		if name, ok := t.parent.(string); ok {
			if strings.TrimSpace(name) == "" {
				m.set.bad("target is empty, want a name such as \"hrm.Employee\" or a model")
			}
		} else if _, ok := typeOf(t.parent); !ok {
			m.set.bad("target is a %T, want a name such as \"hrm.Employee\" or a model", t.parent)
		}
	}
}

// maxEmbedding bounds how deep embedded structs are followed.
const maxEmbedding = 8

// walk collects the tags of the fields of t, and all names by which options may call them.
func (m *model) walk(t reflect.Type, path, prefix string, known map[string]bool, depth int) {
	if depth > maxEmbedding {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		name := path + f.Name
		m.tag(name, f.Tag.Get("audit"))
		settings := schema.ParseTagSetting(f.Tag.Get("gorm"), ";")
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		_, embedded := settings["EMBEDDED"]
		if inner.Kind() == reflect.Struct && (f.Anonymous || embedded) {
			m.walk(inner, name+".", prefix+settings["EMBEDDEDPREFIX"], known, depth+1)
		}
		column := settings["COLUMN"]
		if column == "" {
			column = schema.NamingStrategy{}.ColumnName("", f.Name)
		}
		known[f.Name], known[name], known[prefix+column] = true, true, true
	}
}

// tag reads one `audit` tag: parts separated by semicolons.
func (m *model) tag(path, tag string) {
	if tag == "" {
		return
	}
	var ft fieldTag
	for part := range strings.SplitSeq(tag, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), ":")
		switch strings.TrimSpace(key) {
		case "":
		case "-":
			ft.exclude = true
		case "mask":
			switch strings.TrimSpace(value) {
			case "":
				ft.mask = true
			case "last4":
				ft.partial = true
			default:
				m.set.bad("field %s: tag %q has the unknown mask %q, want mask or mask:last4", path, tag, value)
			}
		case "unmask":
			ft.unmask = true
		case "label":
			if ft.label = strings.TrimSpace(value); ft.label == "" {
				m.set.bad("field %s: tag %q has an empty label", path, tag)
			}
		default:
			m.set.bad("field %s: tag %q has the unknown word %q, want -, mask, mask:last4, unmask or label:…", path, tag, key)
		}
	}
	m.tags[path] = ft
}

// checkNames reports names in options that no field has.
func (m *model) checkNames(known map[string]bool) {
	check := func(option string, names ...string) {
		for _, name := range names {
			if !known[name] {
				m.set.bad("%s names the field %q, which the model does not have", option, name)
			}
		}
	}
	check("Mask", m.set.masked...)
	check("Unmask", m.set.unmasked...)
	check("Exclude", m.set.excluded...)
	check("Only", m.set.only...)
	check("MaskPartial", m.set.partial...)
	for _, name := range sortedKeys(m.set.hashed) {
		check("MaskHash", name)
	}
	for _, name := range sortedKeys(m.set.maskers) {
		check("MaskFunc", name)
	}
	for _, name := range sortedKeys(m.set.labels) {
		check("Label", name)
	}
}

// name decides how the model is called.
func (m *model) name() {
	name := m.set.typeName
	if name == "" {
		name = m.typ.Name()
	}
	app := m.set.appLabel
	if app == "" {
		app = appLabel(m.typ.PkgPath())
	}
	if !identifier(name) {
		m.set.bad("its name is %q, want letters, digits and _: give one by TypeName", name)
	}
	if !label(app) {
		m.set.bad("its app label is %q, want letters, digits, _ and -: give one by AppLabel", app)
	}
	m.info = Info{AppLabel: strings.ToLower(app), ModelName: strings.ToLower(name), VerboseName: m.set.verboseName, VerboseNamePlural: m.set.verboseMany}
	if m.info.VerboseName == "" {
		m.info.VerboseName = verbose(name)
	}
	if m.info.VerboseNamePlural == "" {
		m.info.VerboseNamePlural = plural(m.info.VerboseName)
	}
}

func identifier(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }) < 0
}

func label(s string) bool { return identifier(strings.ReplaceAll(s, "-", "_")) }

// appLabel is the last element of a package path that is no major version.
func appLabel(path string) string {
	elements := strings.Split(path, "/")
	last := elements[len(elements)-1]
	if len(elements) > 1 && version(last) {
		last = elements[len(elements)-2]
	}
	// gopkg.in/hrm.v2
	if name, suffix, ok := strings.Cut(last, "."); ok && version(suffix) {
		last = name
	}
	return last
}

func version(s string) bool {
	return len(s) > 1 && s[0] == 'v' && strings.Trim(s[1:], "0123456789") == ""
}

// verbose gives EmployeeDependent as Employee Dependent.
func verbose(name string) string {
	words := mask.Words(name)
	// Words gives lower case; runs of capitals such as SKU keep their letters.
	rest := strings.ReplaceAll(name, "_", "")
	for i, w := range words {
		original := rest[:min(len(w), len(rest))]
		rest = rest[len(original):]
		r, n := utf8.DecodeRuneInString(original)
		words[i] = string(unicode.ToUpper(r)) + original[n:]
	}
	return strings.Join(words, " ")
}

// plural gives the plural of the last word, by the rules that GORM has for names of tables.
func plural(name string) string {
	if name == "" {
		return ""
	}
	first, last := "", name
	if i := strings.LastIndexByte(name, ' '); i >= 0 {
		first, last = name[:i+1], name[i+1:]
	}
	if mask.Words(last) == nil || len(mask.Words(last)) > 1 {
		return name + "s"
	}
	many := schema.NamingStrategy{}.TableName(last)
	if lower := strings.ToLower(last); strings.HasPrefix(many, lower) {
		return first + last + many[len(lower):]
	}
	if r, _ := utf8.DecodeRuneInString(last); unicode.IsUpper(r) {
		r, n := utf8.DecodeRuneInString(many)
		return first + string(unicode.ToUpper(r)) + many[n:]
	}
	return first + many
}

// named reports whether a list of an option means the field.
func named(names []string, f *schema.Field) bool {
	return slices.ContainsFunc(names, func(name string) bool { return means(name, f) })
}

func means(name string, f *schema.Field) bool {
	return name == f.Name || name == f.DBName || name == strings.Join(f.BindNames, ".")
}

// tagOf gives what the tags of f and of the structs that it is embedded in say.
func (m *model) tagOf(f *schema.Field) (ft fieldTag) {
	for i := range f.BindNames {
		t := m.tags[strings.Join(f.BindNames[:i+1], ".")]
		ft.mask = ft.mask || t.mask
		ft.partial = ft.partial || t.partial
		ft.unmask = ft.unmask || t.unmask
		ft.exclude = ft.exclude || t.exclude
		if t.label != "" {
			ft.label = t.label
		}
	}
	return ft
}
