package audit

import (
	"fmt"
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
	target                   any    // string or model; nil: none
	via                      string // relation or foreign key that leads to the target
	repr                     func(model any) string
	masked                   []string
	maskers                  map[string]func(any) any
	unmasked                 []string
	excluded                 []string
	labels                   map[string]string
	errs                     []error
}

func (s *settings) bad(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// Target says that the model's changes are logged under a parent: "hrm.Employee", or a model such
// as &Employee{}. The parent is found through the only relation between the two, or through a foreign
// key called after it (EmployeeID); if there are several, via names the relation or the field of the
// foreign key. A method AuditLogTarget() string on the model says the same.
func Target(parent any, via ...string) Option {
	return func(s *settings) {
		s.target = parent
		switch len(via) {
		case 0:
		case 1:
			s.via = via[0]
		default:
			s.bad("Target has %d relations, want at most one", len(via))
		}
	}
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

// Label is the field's name for people, as shown in change_message. The struct tag
// `audit:"label:Phone number"` says the same. Defaults to the column.
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
	target := func(t any) any {
		if name, ok := t.(string); ok {
			return strings.ToLower(name)
		}
		return reflect.TypeOf(t)
	}
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
	return s.typeName == o.typeName && s.appLabel == o.appLabel && s.verboseName == o.verboseName &&
		s.verboseMany == o.verboseMany && target(s.target) == target(o.target) && s.via == o.via &&
		slices.Equal(s.masked, o.masked) && slices.Equal(s.unmasked, o.unmasked) && slices.Equal(s.excluded, o.excluded)
}

func funcOf(f any) uintptr {
	v := reflect.ValueOf(f)
	if !v.IsValid() || v.IsNil() {
		return 0
	}
	return v.Pointer()
}
