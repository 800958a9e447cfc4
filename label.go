package audit

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/mask"
)

// Labeler is what a handle's naming strategy may be besides: it gives the names of columns for people.
// An empty label is none.
type Labeler interface {
	Label(objectType, column string) string
}

// HumanLabel gives a column's name as words, phone_number as "Phone number", for Config.Label.
func HumanLabel(_, column string) string {
	words := strings.Join(mask.Words(column), " ")
	r, n := utf8.DecodeRuneInString(words)
	if n == 0 {
		return ""
	}
	return string(unicode.ToUpper(r)) + words[n:]
}

// labels gives the labels of columns that neither tag nor option names.
type labels []func(objectType, column string) string

// labelsOf gives Config.Label, and then the naming strategy of the handle.
func (a *Auditor) labelsOf(db *gorm.DB) (ls labels) {
	if a.cfg.Label != nil {
		ls = append(ls, a.cfg.Label)
	}
	if l, ok := db.NamingStrategy.(Labeler); ok {
		ls = append(ls, l.Label)
	}
	return ls
}

// label asks one after the other. A panic is an error, and no label.
func (ls labels) label(objectType, column string) (text string, err error) {
	for _, f := range ls {
		err = guard(fmt.Sprintf("the label of column %q", column), func() error {
			text = strings.TrimSpace(f(objectType, column))
			return nil
		})
		if err != nil || text != "" {
			return text, err
		}
	}
	return "", nil
}
