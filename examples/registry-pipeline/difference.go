package main

import (
	"cmp"
	"slices"
)

// kind says what happened to a subdivision from one release to the next.
type kind string

const (
	added   kind = "added"
	changed kind = "changed"
	removed kind = "removed"
)

// difference is one subdivision that is not the same in two releases.
type difference struct {
	Code   string
	Kind   kind
	Fields []fieldChange // in the order name, type, parent; those without a value are left out
}

// fieldChange is one field of a difference; nil is no value.
type fieldChange struct {
	Field    string
	Old, New *string
}

// compare gives the differences between two releases, by code.
func compare(before, after []Subdivision) []difference {
	old := byCode(before)
	var all []difference
	for _, n := range after {
		o, found := old[n.Code]
		d := difference{Code: n.Code, Kind: changed, Fields: fieldChanges(o, n)}
		if !found {
			d.Kind = added
		}
		if len(d.Fields) > 0 {
			all = append(all, d)
		}
		delete(old, n.Code)
	}
	for _, o := range old {
		all = append(all, difference{Code: o.Code, Kind: removed, Fields: fieldChanges(o, Subdivision{})})
	}
	sortDifferences(all)
	return all
}

func byCode(all []Subdivision) map[string]Subdivision {
	m := make(map[string]Subdivision, len(all))
	for _, s := range all {
		m[s.Code] = s
	}
	return m
}

// fieldChanges gives the fields that differ; an empty text is no value.
func fieldChanges(before, after Subdivision) []fieldChange {
	var fields []fieldChange
	add := func(field string, o, n *string) {
		if o != nil && n != nil && *o == *n || o == nil && n == nil {
			return
		}
		fields = append(fields, fieldChange{Field: field, Old: o, New: n})
	}
	add("name", value(before.Name), value(after.Name))
	add("type", value(before.Type), value(after.Type))
	add("parent", before.Parent, after.Parent)
	return fields
}

func value(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func sortDifferences(all []difference) {
	slices.SortFunc(all, func(a, b difference) int { return cmp.Compare(a.Code, b.Code) })
}

// counts gives how many subdivisions were added, changed and removed.
func counts(all []difference) map[kind]int {
	n := map[kind]int{}
	for _, d := range all {
		n[d.Kind]++
	}
	return n
}
