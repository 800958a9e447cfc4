package event

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// ellipsis ends a text that was cut.
const ellipsis = "…"

// piece is a value that may be cut.
type piece struct {
	size int            // bytes of its encoding
	keep int            // bytes that stay in any case
	cut  func(size int) // cuts it to at most size bytes of encoding
}

// fit gives the encoding of r, whose whole encoding data is too large, cut to fit. r is not changed
// beyond its own fields.
func (r *Record) fit(data []byte) []byte {
	r.own()
	r.UntruncatedSize = max(r.UntruncatedSize, int64(len(data)))
	r.IsTruncated = true
	sealed := r.RecordHash != ""
	if sealed {
		r.RecordHash = strings.Repeat("0", 64) // holds the place
	}
	// The stamps do not count: a record that was stamped and decoded must not be cut again.
	limit := MaxSize - MaxStamp + min(r.stampSize(), MaxStamp)
	for data = r.append(data[:0]); len(data) > limit; data = r.append(data[:0]) {
		if !r.cut(len(data) - limit) {
			r.dropLast()
		}
	}
	if sealed {
		r.RecordHash = r.hash()
		data = r.append(data[:0])
	}
	return data
}

// stampSize gives how many bytes the members take that Stamp and StampIngest write.
func (r *Record) stampSize() int {
	n := 0
	for i := range members {
		if m := &members[i]; m.kind == transport && m.name != "record_hash" {
			n += len(r.appendMember(nil, m))
		}
	}
	return n
}

// own gives r its own copies of everything that cut may change, with raw values in the canonical
// form.
func (r *Record) own() {
	r.Errors = slices.Clone(r.Errors)
	r.ChangedFields = slices.Clone(r.ChangedFields)
	r.unknownOfChange = slices.Clone(r.unknownOfChange)
	r.unknown = maps.Clone(r.unknown)
	r.Changes = slices.Clone(r.Changes)
	for i := range r.Changes {
		c := &r.Changes[i]
		if len(c.Old) > 0 {
			c.Old = appendRaw(nil, c.Old, MaxDepth-3)
		}
		if len(c.New) > 0 {
			c.New = appendRaw(nil, c.New, MaxDepth-3)
		}
	}
	if !r.ChangeMessage.IsZero() {
		r.ChangeMessage.raw = appendRaw(nil, r.ChangeMessage.raw, MaxDepth-1)
	}
	r.Extra = maps.Clone(validNames(r.Extra))
	for name, v := range r.Extra {
		r.Extra[name] = rawValue(appendValue(nil, v, MaxDepth-2))
	}
}

// rawValue is a value of Extra that is encoded already.
type rawValue []byte

// MarshalJSON gives the value.
func (v rawValue) MarshalJSON() ([]byte, error) { return v, nil }

// cut shortens the longest values to a common length, so that the encoding shrinks by at least
// excess bytes if that is possible; it reports whether it shortened anything.
func (r *Record) cut(excess int) bool {
	pieces, finish := r.pieces()
	saved := func(level int) int {
		n := 0
		for _, p := range pieces {
			n += max(0, p.size-max(level, p.keep))
		}
		return n
	}
	longest := 0
	for _, p := range pieces {
		longest = max(longest, p.size)
	}
	// The largest level that saves enough; 0 if none does.
	level := sort.Search(longest+1, func(down int) bool { return saved(longest-down) >= excess })
	level = max(0, longest-level)
	changed := false
	for _, p := range pieces {
		if size := max(level, p.keep); p.size > size {
			p.cut(size)
			changed = true
		}
	}
	finish()
	return changed
}

// pieces gives everything in r that may be cut, and what to call afterwards.
func (r *Record) pieces() (pieces []piece, finish func()) {
	add := func(size, keep int, cut func(int)) {
		if size > keep {
			pieces = append(pieces, piece{size, keep, cut})
		}
	}
	text := func(s *string, keep int) {
		add(textSize(*s), keep, func(size int) { *s = cutText(*s, size) })
	}
	finish = func() {}
	for i := range members {
		m := &members[i]
		switch f := m.field(r).(type) {
		case *string:
			if m.keep > 0 {
				text(f, m.keep)
			}
		case *Action:
			add(textSize(string(*f)), m.keep, func(size int) { *f = Action(cutText(string(*f), size)) })
		case *[]string:
			for j := range *f {
				text(&(*f)[j], m.keep)
			}
		case *[]Change:
			for j := range *f {
				c := &(*f)[j]
				text(&c.Field, keepText)
				text(&c.Label, keepText)
				text(&c.Type, keepText)
				text(&c.OldHash, keepText)
				text(&c.NewHash, keepText)
				add(len(c.Old), m.keep, func(size int) { c.Old, c.Truncated = cutHashed(c.Old, size, &c.OldHash), true })
				add(len(c.New), m.keep, func(size int) { c.New, c.Truncated = cutHashed(c.New, size, &c.NewHash), true })
			}
		case *map[string]any:
			for name, v := range *f {
				encoded, _ := v.(rawValue)
				add(len(encoded), m.keep, func(size int) { (*f)[name] = rawValue(cutRaw(encoded, size)) })
			}
		case *Message:
			rows, ok := f.Rows()
			if !ok {
				add(len(f.raw), m.keep, func(size int) { f.raw = cutRaw(f.raw, size) })
				continue
			}
			touched := false
			for j := range rows {
				row := &rows[j]
				add(textSize(row.Field), keepText, func(size int) { row.Field, touched = cutText(row.Field, size), true })
				for _, v := range []*[]byte{(*[]byte)(&row.OldValue), (*[]byte)(&row.NewValue)} {
					add(len(*v), m.keep, func(size int) { *v, touched = cutRaw(*v, size), true })
				}
			}
			finish = func() {
				if touched {
					*f = TableMessage(rows)
				}
			}
		}
	}
	for name, v := range r.unknown {
		add(len(v), keepData, func(size int) { r.unknown[name] = cutRaw(v, size) })
	}
	return pieces, finish
}

// cutHashed is cutRaw that keeps the hash of the whole value, unless the hash would take more than is
// cut away.
func cutHashed(v []byte, size int, hash *string) []byte {
	if *hash == "" && len(v)-size > 2*sha256.Size+len(`,"old_hash":""`) {
		sum := sha256.Sum256(v)
		*hash = hex.EncodeToString(sum[:])
	}
	return cutRaw(v, size)
}

// dropLast leaves out the second half of the largest list: the last way, if there are too many
// values to keep the beginning of each. What cannot be cut takes less than half of MaxSize, so it
// leads to an end.
func (r *Record) dropLast() {
	size := func(name string) int { return len(r.appendMember(nil, &members[memberIndex[name]])) }
	unknown := 0
	for name, v := range r.unknown {
		unknown += len(name) + len(v)
	}
	for _, v := range r.unknownOfChange {
		for name, v := range v {
			unknown += len(name) + len(v)
		}
	}
	type list struct {
		size int
		half func()
	}
	largest := list{}
	for _, l := range []list{
		{size("changes"), func() { r.Changes = r.Changes[:len(r.Changes)/2] }},
		{size("changed_fields"), func() { r.ChangedFields = r.ChangedFields[:len(r.ChangedFields)/2] }},
		{size("errors"), func() { r.Errors = r.Errors[:len(r.Errors)/2] }},
		{size("change_message"), func() {
			rows, _ := r.ChangeMessage.Rows()
			r.ChangeMessage = TextMessage(TextModified)
			if len(rows) > 1 {
				r.ChangeMessage = TableMessage(rows[:len(rows)/2])
			}
		}},
		{size("extra"), func() { halve(r.Extra) }},
		{unknown, func() { halve(r.unknown); r.unknownOfChange = nil }},
	} {
		if l.size > largest.size {
			largest = l
		}
	}
	largest.half()
}

// halve deletes the entries of the second half of the sorted names.
func halve[V any](m map[string]V) {
	names := slices.Sorted(maps.Keys(m))
	for _, name := range names[len(names)/2:] {
		delete(m, name)
	}
}

// textSize gives the size of the encoding of s.
func textSize(s string) int {
	n := 2
	for _, r := range s {
		n += runeSize(r)
	}
	return n
}

// runeSize gives how many bytes appendString takes for r.
func runeSize(r rune) int {
	switch {
	case r == '"' || r == '\\' || r == '\n' || r == '\r' || r == '\t' || r == '\b' || r == '\f':
		return 2
	case r < ' ':
		return 6
	}
	return utf8.RuneLen(r) // of what is not UTF-8: that of U+FFFD
}

// cutText gives the beginning of s, at the border of a character and with an ellipsis, so that its
// encoding takes at most size bytes.
func cutText(s string, size int) string {
	n := 2 + len(ellipsis)
	for i, r := range s {
		if n += runeSize(r); n > size {
			return s[:i] + ellipsis
		}
	}
	return s
}

// cutRaw is cutText for a JSON value; what is no string becomes the beginning of its JSON text.
func cutRaw(raw []byte, size int) []byte {
	if raw[0] == '"' {
		return appendString(nil, cutText(unquote(raw), size))
	}
	return appendString(nil, cutText(string(raw), size))
}
