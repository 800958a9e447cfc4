package audit

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// DefaultRegistry is the registry that Register and the default Plugin use.
var DefaultRegistry = NewRegistry()

// Registry has the models whose changes are recorded. It may serve many handles and be used
// concurrently.
type Registry struct {
	mu      sync.RWMutex
	models  []*model // in the order of registration
	byType  map[reflect.Type]*model
	failed  map[reflect.Type]error
	version atomic.Uint64 // counts changes, so that handles see them
}

// NewRegistry gives an empty registry.
func NewRegistry() *Registry {
	return &Registry{byType: make(map[reflect.Type]*model), failed: make(map[reflect.Type]error)}
}

// Info is what a registered model is called.
type Info struct {
	// AppLabel is the first part of the full type: the last element of the Go package path, or what
	// the option AppLabel says; in lower case.
	AppLabel string `json:"app_label"`
	// ModelName is the object_type of the model's records: the name of the Go type in lower case.
	ModelName string `json:"model_name"`
	// VerboseName and VerboseNamePlural are for people.
	VerboseName       string `json:"verbose_name"`
	VerboseNamePlural string `json:"verbose_name_plural"`
}

// ContentType identifies a model by its full type.
type ContentType struct {
	AppLabel string `json:"app_label"`
	Model    string `json:"model"`
}

// String gives the full type, such as hrm.employee.
func (c ContentType) String() string { return c.AppLabel + "." + c.Model }

// Register registers a model with DefaultRegistry; see Registry.Register.
func Register(model any, opts ...Option) error { return DefaultRegistry.Register(model, opts...) }

// Register says that changes of a model are recorded, by every handle that uses the registry, whether
// it is called before or after db.Use. The model is a struct or a pointer to one; only its type counts.
//
// The error wraps ErrRegistration and names everything that is wrong; db.Use returns it as well, for
// those who register in an init function and look at no error. Registering a model again without
// options, or with the same ones, does nothing. What can only be checked with a database's naming
// strategy and with all models known (the columns, the targets) is reported by db.Use.
func (r *Registry) Register(model any, opts ...Option) error {
	t, ok := typeOf(model)
	if !ok {
		return r.fail(reflect.TypeOf(model), fmt.Errorf("%w: a %T is no model, want a struct or a pointer to one", ErrRegistration, model))
	}
	m, err := newModel(t, opts)
	if err != nil {
		return r.fail(t, err)
	}
	return r.add(m, len(opts) == 0)
}

func (r *Registry) fail(t reflect.Type, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed[t] = err
	return err
}

func (r *Registry) add(m *model, plain bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.byType[m.typ]; old != nil {
		if plain || old.set.same(&m.set) {
			return nil
		}
		// Nobody can say which of the two is meant.
		err := fmt.Errorf("%w: model %s: it is registered already with other options", ErrRegistration, m.typ)
		r.failed[m.typ] = err
		return err
	}
	for _, o := range r.models {
		// One object_type is one history: two models in it would be a mix that nobody can take apart.
		if o.info.ModelName == m.info.ModelName {
			err := fmt.Errorf("%w: model %s: its object_type %q is that of %s: give another by TypeName", ErrRegistration, m.typ, m.info.ModelName, o.typ)
			r.failed[m.typ] = err
			return err
		}
	}
	r.models = append(r.models, m)
	r.byType[m.typ] = m
	delete(r.failed, m.typ)
	r.version.Add(1)
	return nil
}

// IsRegistered reports whether changes of the model's type are recorded.
func (r *Registry) IsRegistered(model any) bool {
	_, err := r.lookup(model)
	return err == nil
}

// Models gives a pointer to a fresh value of each registered model, in the order of registration.
func (r *Registry) Models() []any {
	r.mu.RLock()
	defer r.mu.RUnlock()
	models := make([]any, len(r.models))
	for i, m := range r.models {
		models[i] = reflect.New(m.typ).Interface()
	}
	return models
}

// Info says what a model is called. The error wraps ErrNotRegistered.
func (r *Registry) Info(model any) (Info, error) {
	m, err := r.lookup(model)
	if err != nil {
		return Info{}, err
	}
	return m.info, nil
}

// AllInfo says what the registered models are called, ordered by full type.
func (r *Registry) AllInfo() []Info {
	r.mu.RLock()
	defer r.mu.RUnlock()
	infos := make([]Info, len(r.models))
	for i, m := range r.models {
		infos[i] = m.info
	}
	slices.SortFunc(infos, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.AppLabel, b.AppLabel), cmp.Compare(a.ModelName, b.ModelName))
	})
	return infos
}

// ContentType gives the full type of a model. The error wraps ErrNotRegistered.
func (r *Registry) ContentType(model any) (ContentType, error) {
	m, err := r.lookup(model)
	if err != nil {
		return ContentType{}, err
	}
	return ContentType{AppLabel: m.info.AppLabel, Model: m.info.ModelName}, nil
}

func (r *Registry) lookup(model any) (*model, error) {
	t, ok := typeOf(model)
	if ok {
		r.mu.RLock()
		m := r.byType[t]
		r.mu.RUnlock()
		if m != nil {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%w: %T", ErrNotRegistered, model)
}

// state gives the models and the registration errors as they are now.
func (r *Registry) state() (models []*model, version uint64, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var errs []error
	for _, err := range r.failed {
		errs = append(errs, err)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return slices.Clone(r.models), r.version.Load(), errors.Join(errs...)
}

// currentVersion is fast: handles ask for it with every statement.
func (r *Registry) currentVersion() uint64 { return r.version.Load() }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
