package audit

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Option is a setting of one registered model; see Register.
type Option func(*settings)

// settings are what options, struct tags and methods of a model say.
type settings struct {
	typeName, appLabel       string
	verboseName, verboseMany string
	targets                  []target
	repr                     func(model any) string
	masked                   []string
	maskers                  map[string]func(any) any
	unmasked                 []string
	excluded                 []string
	only                     []string
	partial                  []string
	hashed                   map[string][]byte // keys by field
	relations                []string          // many-to-many relations that are recorded
	labels                   map[string]string
	policies                 []PolicyRule
	errs                     []error
}

func (s *settings) bad(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// target is what one option Target says.
type target struct {
	parent any      // string or model
	via    []string // a relation, or the fields of a foreign key, that lead to the parent
}

func (t target) same(o target) bool {
	key := func(parent any) any {
		if name, ok := parent.(string); ok {
			return strings.ToLower(name)
		}
		return reflect.TypeOf(parent)
	}
	return key(t.parent) == key(o.parent) && slices.Equal(t.via, o.via)
}

// Target says that the model's changes are logged under a parent: "hrm.Employee", or a model such
// as &Employee{}. The parent is found through the only relation between the two, or through a foreign
// key called after it (EmployeeID); if there are several, via names the relation or the field of the
// foreign key, of a composite one all its fields in the order of the parent's primary key. A method
// AuditLogTarget() string on the model says the same.
//
// A row with polymorphic owners is logged under the parent that its type column names, and as itself if
// that is no target: several Target options name the models that it may belong to. Without a type column
// a second one is an error, as a row has one history.
func Target(parent any, via ...string) Option {
	return func(s *settings) { s.targets = append(s.targets, target{parent, via}) }
}

// Mask says that the values of the fields are not recorded, only that they changed. Fields are named
// by their Go names or their columns. The struct tag `audit:"mask"` says the same.
func Mask(fields ...string) Option {
	return func(s *settings) { s.masked = append(s.masked, fields...) }
}

// MaskFunc says that of the field's values only what mask gives is recorded, such as the last digits
// of a number. mask gets the raw database value, not nil. If it panics, "[MASK_ERROR]" is recorded. It
// must be safe for concurrent use.
func MaskFunc(field string, mask func(value any) any) Option {
	return func(s *settings) {
		if mask == nil {
			s.bad("MaskFunc of field %q has no function", field)
			return
		}
		if s.maskers == nil {
			s.maskers = make(map[string]func(any) any)
		}
		s.maskers[field] = mask
	}
}

// Unmask says that the fields are recorded although their names are on the list of secret names. The
// struct tag `audit:"unmask"` says the same.
func Unmask(fields ...string) Option {
	return func(s *settings) { s.unmasked = append(s.unmasked, fields...) }
}

// Exclude says that the fields are not read and not recorded; a change of nothing else is no change.
// The struct tag `audit:"-"` says the same. The primary key cannot be excluded.
func Exclude(fields ...string) Option {
	return func(s *settings) { s.excluded = append(s.excluded, fields...) }
}

// Only says that of the model nothing but these fields is read and recorded, besides the primary key,
// which says of what: a list that stays right when the model gets more fields.
func Only(fields ...string) Option {
	return func(s *settings) {
		if len(fields) == 0 {
			s.bad("Only has no fields")
		}
		s.only = append(s.only, fields...)
	}
}

// MaskPartial says that of the fields' values only the last four characters are recorded, such as
// "****7890"; of values with less than eight nothing. The struct tag `audit:"mask:last4"` says the same.
func MaskPartial(fields ...string) Option {
	return func(s *settings) { s.partial = append(s.partial, fields...) }
}

// MaskHash says that of the fields' values only a keyed hash (HMAC-SHA-256) is recorded, such as
// "hmac:9f86d081884c7d659a2feaa0c55ad015": equal values have equal hashes, so that one can see that a
// value came back, and whoever has the key can look for one. Without a key of at least 16 bytes, which
// is an error, short values could be found by trying.
func MaskHash(key []byte, fields ...string) Option {
	key = bytes.Clone(key)
	return func(s *settings) {
		if len(key) < minHashKey {
			s.bad("MaskHash has a key of %d bytes, want at least %d", len(key), minHashKey)
			return
		}
		if s.hashed == nil {
			s.hashed = make(map[string][]byte)
		}
		for _, field := range fields {
			s.hashed[field] = key
		}
	}
}

// TrackRelation says that changes of the model's many-to-many relations are recorded: for each object
// and transaction one record, a CHANGE of the object, with the names of what was added and removed.
// Relations are named by their Go fields. The rows of the join table are found by its name, so it does
// not matter how they are written. A join table that is set up with SetupJoinTable must be so before
// db.Use; one that is registered as a model itself cannot be tracked.
func TrackRelation(relations ...string) Option {
	return func(s *settings) { s.relations = append(s.relations, relations...) }
}

// Label is the field's name for people, as shown in change_message. The struct tag
// `audit:"label:Phone number"` says the same. Defaults to Config.Label, and then to the column.
func Label(field, label string) Option {
	return func(s *settings) {
		if s.labels == nil {
			s.labels = make(map[string]string)
		}
		s.labels[field] = label
	}
}

// TypeName is the model's name instead of that of its Go type. Its lower case is the object_type.
func TypeName(name string) Option { return func(s *settings) { s.typeName = name } }

// AppLabel is the first part of the full type (hrm in hrm.employee) instead of the last element of
// the Go package path.
func AppLabel(label string) Option { return func(s *settings) { s.appLabel = label } }

// VerboseName is the model's name for people, in the singular, and if it is given in the plural.
func VerboseName(name string, plural ...string) Option {
	return func(s *settings) {
		s.verboseName = name
		switch len(plural) {
		case 0:
		case 1:
			s.verboseMany = plural[0]
		default:
			s.bad("VerboseName has %d plurals, want at most one", len(plural))
		}
	}
}

// VerboseNamePlural is the model's name for people in the plural.
func VerboseNamePlural(name string) Option { return func(s *settings) { s.verboseMany = name } }

// Repr gives an object in words for object_repr. It is called with a pointer to a fresh model that is
// filled with the columns of one row, masked and excluded ones left empty, and without associations. A
// method AuditRepr() string on the model says the same.
func Repr(repr func(model any) string) Option { return func(s *settings) { s.repr = repr } }

// same reports whether two registrations say the same. Functions are compared by their code.
func (s *settings) same(o *settings) bool {
	if len(s.maskers) != len(o.maskers) || len(s.labels) != len(o.labels) || funcOf(s.repr) != funcOf(o.repr) {
		return false
	}
	for field, f := range s.maskers {
		if funcOf(f) != funcOf(o.maskers[field]) {
			return false
		}
	}
	for field, label := range s.labels {
		if o.labels[field] != label {
			return false
		}
	}
	if !slices.EqualFunc(s.policies, o.policies, func(a, b PolicyRule) bool { return a.Policy == b.Policy && slices.Equal(a.Actions, b.Actions) }) {
		return false
	}
	if !maps.EqualFunc(s.hashed, o.hashed, bytes.Equal) || !slices.Equal(s.only, o.only) || !slices.Equal(s.partial, o.partial) || !slices.Equal(s.relations, o.relations) {
		return false
	}
	return s.typeName == o.typeName && s.appLabel == o.appLabel && s.verboseName == o.verboseName &&
		s.verboseMany == o.verboseMany && slices.EqualFunc(s.targets, o.targets, target.same) &&
		slices.Equal(s.masked, o.masked) && slices.Equal(s.unmasked, o.unmasked) && slices.Equal(s.excluded, o.excluded)
}

func funcOf(f any) uintptr {
	v := reflect.ValueOf(f)
	if !v.IsValid() || v.IsNil() {
		return 0
	}
	return v.Pointer()
}
