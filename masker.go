package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"unicode/utf8"

	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/internal/mask"
)

const (
	// minHashKey is the length in bytes of the shortest key of MaskHash.
	minHashKey = 16
	// minPartial is the length in characters of the shortest value of which MaskPartial shows the end.
	minPartial = 8
	// shownPartial is how many characters of it are shown.
	shownPartial = 4
)

// lastFour masks all but the end. How long the value is does not show.
func lastFour(raw any) any {
	text := textOf(raw)
	n := utf8.RuneCountInString(text)
	if n < minPartial {
		return mask.Redacted
	}
	for range n - shownPartial {
		_, size := utf8.DecodeRuneInString(text)
		text = text[size:]
	}
	return "****" + text
}

// hasher gives the masker of MaskHash.
func hasher(key []byte) func(any) any {
	return func(raw any) any {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(textOf(raw)))
		return "hmac:" + hex.EncodeToString(h.Sum(nil)[:16])
	}
}

// maskerOf gives the masker of a field, nil if it has none. It is an error to have several, as nobody
// can say which is meant.
func (set *settings) maskerOf(f *schema.Field, tag fieldTag) (masker func(any) any, err error) {
	var names []string
	for _, field := range sortedKeys(set.maskers) {
		if means(field, f) {
			masker = set.maskers[field]
			names = append(names, "MaskFunc")
		}
	}
	for _, field := range sortedKeys(set.hashed) {
		if means(field, f) {
			masker = hasher(set.hashed[field])
			names = append(names, "MaskHash")
		}
	}
	if tag.partial || named(set.partial, f) {
		masker = lastFour
		names = append(names, "MaskPartial")
	}
	if names = slices.Compact(names); len(names) > 1 {
		return masker, fmt.Errorf("field %q has several masks: %v", f.Name, names)
	}
	return masker, nil
}

// excludes reports whether a field is not recorded.
func (set *settings) excludes(f *schema.Field, tag fieldTag) bool {
	return tag.exclude || named(set.excluded, f) || len(set.only) > 0 && !f.PrimaryKey && !named(set.only, f)
}
