package audit

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/gormtrail/audit/internal/mask"
)

const (
	// maxRepr is the length in characters to which object_repr is cut.
	maxRepr = 256
	// maxKey is the length in bytes from which on an object_id made of all columns is shortened.
	maxKey = 256
)

// objectID gives the primary key of a row as text, of a composite key the parts joined by commas. A
// row without a primary key is identified by all its columns.
func (t *table) objectID(row []any) string {
	if row == nil {
		return ""
	}
	columns := t.key
	if len(columns) == 0 && t.schema == nil {
		return "" // a map that says nothing of its id
	}
	if len(columns) == 0 {
		columns = t.all()
	}
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = t.columns[c].keyText(row[c])
	}
	id := strings.Join(parts, ",")
	if len(t.key) == 0 && len(id) > maxKey {
		sum := sha256.Sum256([]byte(id))
		id = strings.ToValidUTF8(id[:maxKey-65], "") + "~" + hex.EncodeToString(sum[:])
	}
	return id
}

// keyText gives a value of a key. A masked one is replaced by its hash, so that rows stay apart.
func (c *column) keyText(raw any) string {
	text := textOf(raw)
	if b, ok := raw.([]byte); ok && !utf8.Valid(b) {
		text = hex.EncodeToString(b) // a UUID in 16 bytes
	}
	if c.kind == kindTime {
		if t, ok := timeOf(raw); ok {
			text = formatTime(t)
		}
	}
	if (c.masked || c.masker != nil) && raw != nil {
		if c.field != nil && !c.field.PrimaryKey {
			return mask.Redacted
		}
		sum := sha256.Sum256([]byte(text))
		return "sha256:" + hex.EncodeToString(sum[:16])
	}
	return text
}

// objectRepr gives a row in words: what the model says, its String method, the first of name, title,
// username, email and code, or its type and id.
func (t *table) objectRepr(ctx context.Context, row []any, rules *mask.Rules, failed func(error)) string {
	if row == nil {
		return ""
	}
	text, err := t.describe(ctx, row, rules)
	if err != nil && failed != nil {
		failed(err)
	}
	if text == "" && t.repr >= 0 {
		text = textOf(row[t.repr])
	}
	if text = strings.TrimSpace(text); text == "" {
		return t.fallbackRepr(t.objectID(row))
	}
	text, _ = rules.Document(strings.ToValidUTF8(text, "\uFFFD"))
	return cutRunes(text, maxRepr)
}

func (t *table) fallbackRepr(id string) string {
	return strings.TrimSpace(t.model.info.ModelName + " " + cutRunes(id, maxRepr))
}

// describe asks the model.
func (t *table) describe(ctx context.Context, row []any, rules *mask.Rules) (text string, err error) {
	if t.model.typ == nil {
		return "", nil // a map
	}
	fresh := reflect.New(t.model.typ)
	object := fresh.Interface()
	stringer, ok := object.(fmt.Stringer)
	if !ok && t.model.set.repr == nil {
		return "", nil
	}
	err = guard(fmt.Sprintf("%s.String or AuditRepr", t.model.typ), func() error {
		t.fillStruct(ctx, fresh.Elem(), row, rules)
		if t.model.set.repr != nil {
			text = t.model.set.repr(object)
			return nil
		}
		text = stringer.String()
		return nil
	})
	return text, err
}

// fillStruct sets the fields of a fresh model from an image. Masked and excluded fields stay empty, and
// so does what cannot be converted; secrets inside texts and documents are replaced, as the model may put
// them into words that no rule knows any more.
func (t *table) fillStruct(ctx context.Context, fresh reflect.Value, row []any, rules *mask.Rules) {
	for i := range t.columns {
		c := &t.columns[i]
		if c.masked || c.masker != nil || c.hidden || row[i] == nil {
			continue
		}
		raw := c.withoutSecrets(row[i], rules)
		if b, ok := raw.([]byte); ok && c.kind != kindBytes && c.kind != kindJSON {
			raw = string(b) // decimals and texts of MariaDB
		}
		_ = guard("setting a field", func() error {
			if c.field.Serializer == nil {
				return c.field.Set(ctx, fresh, raw)
			}
			// As GORM itself reads it.
			value := c.field.NewValuePool.Get()
			defer c.field.NewValuePool.Put(value)
			scanner, ok := value.(sql.Scanner)
			if !ok {
				return nil
			}
			if err := scanner.Scan(raw); err != nil {
				return err
			}
			return c.field.Set(ctx, fresh, value)
		})
	}
}

// withoutSecrets gives a raw value of a column that is not masked itself.
func (c *column) withoutSecrets(raw any, rules *mask.Rules) any {
	if c.plain {
		return raw
	}
	switch v := raw.(type) {
	case string:
		if text, masked := rules.Document(v); masked {
			return text
		}
	case []byte:
		if !utf8.Valid(v) {
			return raw
		}
		if text, masked := rules.Document(string(v)); masked {
			return []byte(text)
		}
	}
	return raw
}

// cutRunes cuts s to n characters, the last of which then is an ellipsis.
func cutRunes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	i := 0
	for at := range s {
		if i == n-1 {
			if utf8.RuneCountInString(s[at:]) > 1 {
				return s[:at] + "…"
			}
			return s
		}
		i++
	}
	return s
}
