package audit

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
)

// Policy says what happens to a write whose record fails.
type Policy int

const (
	// Continue never fails or breaks the application's write. What could not be recorded is counted in
	// Stats, given to Config.OnError and logged.
	Continue Policy = iota
	// Strict fails the write if its record cannot be written: no record, no write. For changes of rows it
	// needs a sink that writes in the transaction; for acts without one, such as logins and exports, see
	// Attempt.
	Strict
	// BestEffort is Continue for records that are not worth waiting for: a sink that is a BestEffortSink
	// takes them without its promise. With any other sink it is Continue.
	BestEffort
)

// Classes of actions, by what the loss of their records costs: names for policies.
const (
	// Critical is for permissions, money, exports of personal data, deletion.
	Critical = Strict
	// Standard is for all else that somebody may ask about.
	Standard = Continue
	// Telemetry is for what nobody misses one record of.
	Telemetry = BestEffort
)

// String gives the policy's name.
func (p Policy) String() string {
	switch p {
	case Continue:
		return "Continue"
	case Strict:
		return "Strict"
	case BestEffort:
		return "BestEffort"
	}
	return fmt.Sprintf("Policy(%d)", int(p))
}

func (p Policy) valid() bool { return p == Continue || p == Strict || p == BestEffort }

// PolicyRule is the policy of some records, instead of Config.Policy.
type PolicyRule struct {
	// Model is a model, registered or not, an object_type or a full type such as "hrm.employee"; nil means all. Of a dependent it is the
	// dependent's own, not the parent's under which it is logged.
	Model any
	// Actions are those of the rule; none means all.
	Actions []Action
	// Policy is what holds for them.
	Policy Policy
}

// UsePolicy is the policy of the model's records, or of those with the actions, instead of what Config
// says: UsePolicy(Critical, ActionDelete).
func UsePolicy(policy Policy, actions ...Action) Option {
	return func(s *settings) {
		s.policies = append(s.policies, PolicyRule{Actions: actions, Policy: policy})
	}
}

// policyKey is what a policy holds for; empty parts mean all.
type policyKey struct {
	objectType string
	action     Action
}

// policies are all policies of a handle. The most exact one counts: that of the model and the action, of
// the model, of the action, and then Config.Policy.
type policies struct {
	base  Policy
	rules map[policyKey]Policy
	// strict says that at least one is Strict.
	strict bool
}

func (ps *policies) of(objectType string, action Action) Policy {
	if len(ps.rules) == 0 {
		return ps.base
	}
	for _, k := range [...]policyKey{{objectType, action}, {objectType, ""}, {"", action}} {
		if p, ok := ps.rules[k]; ok {
			return p
		}
	}
	return ps.base
}

// captured are the actions of changes of rows.
var captured = []Action{event.ActionAdd, event.ActionChange, event.ActionDelete, event.ActionRestore}

// compilePolicies reports every mistake in the rules of the configuration and of the models.
func (a *Auditor) compilePolicies(ts *tables) (*policies, error) {
	ps := &policies{base: a.cfg.Policy, rules: make(map[policyKey]Policy), strict: a.cfg.Policy == Strict}
	var errs []error
	from := make(map[policyKey]string)
	inTx := a.cfg.embedded() || a.cfg.TxSink != nil
	add := func(where string, sentinel error, objectType string, rule PolicyRule) {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%w: %s"+format, append([]any{sentinel, where}, args...)...))
		}
		if !rule.Policy.valid() {
			bad(" is %d, want Continue, Strict or BestEffort", int(rule.Policy))
			return
		}
		actions := rule.Actions
		if len(actions) == 0 {
			actions = []Action{""}
		}
		for _, given := range actions {
			action := given
			if len(rule.Actions) > 0 {
				var err error
				if action, err = parseAction(given); err != nil {
					bad(" has the action %q, want ADD, CHANGE, DELETE, RESTORE, or a word of at most 64 letters, digits and _", given)
					continue
				}
			}
			if rule.Policy == Strict && !inTx && (action == "" || slices.Contains(captured, action)) {
				bad(" is Strict, but Config.Sink takes records after COMMIT, when it is too late to fail the write: use the embedded store or a TxSink, or name actions that are no changes of rows, for Attempt")
				return
			}
			if rule.Policy == Strict && !inTx && !durable(a.cfg.Sink) {
				bad(" is Strict, but Config.Sink, %s, keeps records in memory or does not sync them: use a spool, the embedded store or a TxSink", a.safeName(a.cfg.Sink))
				return
			}
			k := policyKey{objectType, action}
			if other, twice := from[k]; twice && ps.rules[k] != rule.Policy {
				bad(" is %s, but %s is %s for the same records", rule.Policy, other, ps.rules[k])
				continue
			}
			ps.rules[k], from[k] = rule.Policy, where
			ps.strict = ps.strict || rule.Policy == Strict
		}
	}
	for i, rule := range a.cfg.Policies {
		where := fmt.Sprintf("Config.Policies[%d].", i)
		objectType := ""
		switch m := rule.Model.(type) {
		case nil:
		case string:
			if objectType = strings.ToLower(strings.TrimSpace(m)); objectType == "" {
				errs = append(errs, fmt.Errorf("%w: %sModel is empty, want a model or an object_type", ErrConfig, where))
				continue
			}
			for _, t := range ts.list {
				if t.model.fullName() == objectType {
					objectType = t.model.info.ModelName
				}
			}
		default:
			typ, ok := typeOf(m)
			if !ok {
				errs = append(errs, fmt.Errorf("%w: %sModel is a %T, want a model or an object_type", ErrConfig, where, m))
				continue
			}
			objectType = strings.ToLower(typ.Name())
			if t := ts.byType[typ]; t != nil {
				objectType = t.model.info.ModelName
			}
		}
		add(where+"Policy", ErrConfig, objectType, rule)
	}
	for _, t := range ts.list {
		for _, rule := range t.model.set.policies {
			add(fmt.Sprintf("model %s: UsePolicy", t.model.typ), ErrRegistration, t.model.info.ModelName, rule)
		}
	}
	return ps, errors.Join(errs...)
}

// policyOf gives the policy of a pending record.
func (h *handle) policyOf(p *pending) Policy {
	ps := h.tables.Load().policies
	if len(ps.rules) == 0 {
		return ps.base
	}
	objectType := ""
	switch {
	case p.entry != nil && p.entry.base.ObjectType != "":
		objectType = strings.ToLower(p.entry.base.ObjectType)
	case p.table != nil:
		objectType = p.table.model.info.ModelName
	}
	return ps.of(objectType, p.action())
}

// strict says whether an error inside auditing fails a statement of the kind op that writes the model; a
// nil model means any. Which of several actions it would have been is not known then, so one that is
// Strict is enough.
func (h *handle) strict(m *capture.Model, op capture.Op) bool {
	ps := h.tables.Load().policies
	if m == nil || !ps.strict || len(ps.rules) == 0 {
		return ps.strict
	}
	t, ok := m.Owner.(*table)
	if !ok {
		return ps.strict
	}
	actions := captured
	switch {
	case op == capture.Insert:
		actions = captured[:2] // an upsert may be a change
	case op == capture.Delete:
		actions = []Action{event.ActionDelete}
	case !slices.ContainsFunc(t.columns, func(c column) bool { return c.soft }):
		actions = captured[1:2]
	}
	names := []string{t.model.info.ModelName}
	for _, r := range t.relations { // a row of a join table is a change of its owner
		names, actions = append(names, r.toOwner.parent.model.info.ModelName), captured[1:2]
	}
	for _, name := range names {
		for _, action := range actions {
			if ps.of(name, action) == Strict {
				return true
			}
		}
	}
	return false
}
