package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/gormtrail/audit/event"
)

// effective is what decides about which records there are and what is in them, by name; the values are
// JSON. There is no secret in them: of masks they have the names of the fields, of functions that there
// is one.
type effective map[string]json.RawMessage

// effective gives the configuration as it is in force with the registered models.
func (h *handle) effective(ts *tables) effective {
	cfg := &h.auditor.cfg
	out := make(effective)
	set := func(name string, v any) { out[name] = encodeOrSay(v) }
	var sinks []string
	if h.txSink != nil {
		sinks = append(sinks, "in the transaction: "+h.auditor.safeName(h.txSink))
	}
	if cfg.Sink != nil {
		sinks = append(sinks, "after COMMIT: "+h.auditor.safeName(cfg.Sink))
	}
	set("sinks", sinks)
	if cfg.embedded() {
		set("table", cfg.Table)
	}
	set("scope", map[Scope]string{ScopeContext: "context", ScopeAll: "all"}[cfg.Scope])
	set("record_unattributed", cfg.RecordUnattributed)
	set("policy", ts.policies.base.String())
	rules := make(map[string]string, len(ts.policies.rules))
	for k, p := range ts.policies.rules {
		name := k.objectType
		if name == "" {
			name = "all"
		}
		if k.action != "" {
			name += " " + string(k.action)
		}
		rules[name] = p.String()
	}
	set("policies", rules)
	set("max_rows", cfg.MaxRows)
	set("max_statement_bytes", cfg.MaxStatementBytes)
	set("max_transaction_bytes", cfg.MaxTransactionBytes)
	names := slices.Clone(cfg.MaskNames)
	slices.Sort(names)
	set("mask_names", append([]string{}, names...))
	set("keep_secret_names", cfg.KeepSecretNames)
	set("keep_value_patterns", cfg.KeepValuePatterns)
	set("before", cfg.Before != nil)
	set("start_probe", !cfg.SkipProbe)
	for _, t := range ts.list {
		set("model "+t.model.fullName(), t.effective())
	}
	return out
}

func (a *Auditor) safeName(sink any) string {
	name, _ := a.rules.Document(sinkName(sink))
	return name
}

// effectiveModel is what is recorded of a model.
type effectiveModel struct {
	Table     string   `json:"table"`
	Targets   []string `json:"targets,omitempty"`
	Columns   []string `json:"columns"` // with how they are masked
	Excluded  []string `json:"excluded,omitempty"`
	Relations []string `json:"relations,omitempty"`
}

func (t *table) effective() effectiveModel {
	m := effectiveModel{Table: t.schema.Table, Columns: []string{}, Relations: slices.Clone(t.model.set.relations)}
	slices.Sort(m.Relations)
	for _, e := range t.edges {
		m.Targets = append(m.Targets, e.parent.model.fullName())
	}
	shown := make(map[string]bool)
	for i := range t.columns {
		c := &t.columns[i]
		if c.hidden {
			continue
		}
		shown[c.name] = true
		switch {
		case c.masked && c.masker == nil:
			m.Columns = append(m.Columns, c.name+": mask")
		case c.masker != nil:
			m.Columns = append(m.Columns, c.name+": "+t.maskName(c))
		case c.plain:
			m.Columns = append(m.Columns, c.name+": unmask")
		default:
			m.Columns = append(m.Columns, c.name)
		}
	}
	for _, name := range t.schema.DBNames {
		if f := t.schema.FieldsByDBName[name]; !shown[name] && (f.Creatable || f.Updatable || !f.IgnoreMigration) {
			m.Excluded = append(m.Excluded, name)
		}
	}
	slices.Sort(m.Columns)
	slices.Sort(m.Excluded)
	return m
}

func (t *table) maskName(c *column) string {
	set := &t.model.set
	switch {
	case slices.ContainsFunc(sortedKeys(set.maskers), func(name string) bool { return means(name, c.field) }):
		return "mask by a function"
	case slices.ContainsFunc(sortedKeys(set.hashed), func(name string) bool { return means(name, c.field) }):
		return "mask by a hash"
	}
	return "mask but for the last four"
}

// hash identifies the settings.
func (e effective) hash() string {
	sum := sha256.Sum256(e.json())
	return "sha256:" + hex.EncodeToString(sum[:])
}

// json gives the settings, in a form that depends on nothing but them.
func (e effective) json() []byte {
	data := encode(e) // the names are sorted
	return data
}

// effectiveOf reads what json gave, or a record that was made of it; nil if it is not readable.
func effectiveOf(data []byte) effective {
	var e effective
	if json.Unmarshal(data, &e) != nil {
		return nil
	}
	for name, v := range e {
		var b bytes.Buffer
		if json.Compact(&b, v) == nil {
			e[name] = b.Bytes()
		}
	}
	return e
}

// changes gives what is different, by name; last is nil if it is not known.
func (e effective) changes(last effective) []event.Change {
	names := maps.Clone(e)
	maps.Copy(names, last)
	var out []event.Change
	for _, name := range sortedKeys(names) {
		if last != nil && sameJSON(e[name], last[name]) {
			continue
		}
		out = append(out, event.Change{Field: name, Type: event.TypeJSON, Old: last[name], New: e[name]})
	}
	return out
}

// sameJSON compares decoded: a store may sort the names in objects.
func sameJSON(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return equalJSON([]byte(a), []byte(b))
}
