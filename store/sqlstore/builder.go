package sqlstore

import (
	"strings"
)

// builder puts a statement together with its arguments.
type builder struct {
	strings.Builder
	d    dialect
	args []any
}

// arg adds an argument and gives its placeholder.
func (b *builder) arg(v any) string {
	b.args = append(b.args, v)
	return b.d.Placeholder(len(b.args))
}

// write writes all parts.
func (b *builder) write(parts ...string) {
	for _, p := range parts {
		b.WriteString(p)
	}
}

// list writes the values as placeholders between commas.
func (b *builder) list(values []string) {
	for i, v := range values {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(b.arg(v))
	}
}
