package sqltable

import (
	"regexp"
	"strings"
)

// ValidTable is what a table may be called. PostgreSQL cuts names at 63 bytes, and the longest suffix
// that is added has 15.
var ValidTable = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_$]{0,62}\.)?[A-Za-z_][A-Za-z0-9_$]{0,47}$`)

// Names are the tables that belong together, quoted and qualified.
type Names struct {
	Schema string // "" where there is none
	Base   string // without schema
	quote  func(string) string
}

// NewNames gives the names of a table, with or without a schema.
func NewNames(table string, quote func(string) string) Names {
	n := Names{Base: table, quote: quote}
	if schema, base, ok := strings.Cut(table, "."); ok {
		n.Schema, n.Base = schema, base
	}
	return n
}

// Table gives the table with the suffix, ready for a statement.
func (n Names) Table(suffix string) string {
	if n.Schema == "" {
		return n.quote(n.Base + suffix)
	}
	return n.quote(n.Schema) + "." + n.quote(n.Base+suffix)
}

// Index gives the name of an index, which is in the schema of its table.
func (n Names) Index(suffix string) string { return n.quote(n.Base + suffix) }
