package mask

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// maxDepth bounds how deep JSON is walked; what lies deeper is masked as a whole.
const maxDepth = 64

// Rules are the built-in names and forms with what the application adds. The zero Rules are the
// built-in ones. They must not be changed while they are used.
type Rules struct {
	// Names are more names that are secret, as a whole and in any case.
	Names []string
	// NoNames switches off the built-in names.
	NoNames bool
	// NoForms switches off the search for secrets by their form.
	NoForms bool
}

// Name reports whether a value of this name is a secret; see the function Name.
func (r *Rules) Name(name string) bool {
	return !r.NoNames && Name(name) || slices.ContainsFunc(r.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

// Text gives s with everything that has the form of a secret replaced, see the function Text, and the
// values of secret names, such as password=hunter2.
func (r *Rules) Text(s string) (out string, masked bool) {
	if r.NoForms {
		return s, false
	}
	out, _ = Text(s)
	out = keyed(out, r.Name)
	return out, out != s
}

// Document does what Text does to a text that may be JSON as a whole, in which it looks at all names.
func (r *Rules) Document(s string) (out string, masked bool) {
	if start := strings.TrimLeft(s, " \t\r\n"); start == "" || start[0] != '{' && start[0] != '[' {
		return r.Text(s)
	}
	data, masked := r.JSON([]byte(s))
	return string(data), masked
}

// JSON gives data with the values of all members whose names are secret replaced by Redacted, and
// with Text applied to all strings. If nothing had to be replaced it gives data itself and false.
// Data that is no JSON is taken as a text.
func (r *Rules) JSON(data []byte) (out []byte, masked bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil || d.More() {
		s, masked := r.Text(string(data))
		return []byte(s), masked
	}
	v, masked = r.Value(v)
	if !masked {
		return data, false
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return []byte(`"` + Failed + `"`), true
	}
	return bytes.TrimSpace(b.Bytes()), true
}

// Value does what JSON does to a decoded value. It does not change v: what is replaced is copied.
func (r *Rules) Value(v any) (out any, masked bool) { return r.value(v, 0) }

func (r *Rules) value(v any, depth int) (any, bool) {
	if depth > maxDepth {
		return Redacted, true
	}
	switch v := v.(type) {
	case string:
		return r.Text(v)
	case json.RawMessage:
		out, masked := r.JSON(v)
		return json.RawMessage(out), masked
	case map[string]any:
		return r.object(v, depth)
	case []any:
		return r.array(v, depth)
	default:
		return v, false
	}
}

func (r *Rules) object(m map[string]any, depth int) (any, bool) {
	var out map[string]any
	put := func(k string, v any) {
		if out == nil {
			out = make(map[string]any, len(m))
			for k, v := range m {
				out[k] = v
			}
		}
		out[k] = v
	}
	for k, v := range m {
		if r.Name(k) {
			if v != nil {
				put(k, Redacted)
			}
			continue
		}
		if w, masked := r.value(v, depth+1); masked {
			put(k, w)
		}
		// A secret can hide in a name as well.
		if name, masked := r.Text(k); masked {
			v := m[k]
			if out != nil {
				v = out[k]
			}
			put(name, v)
			delete(out, k)
		}
	}
	if out == nil {
		return m, false
	}
	return out, true
}

func (r *Rules) array(a []any, depth int) (any, bool) {
	var out []any
	for i, v := range a {
		if w, masked := r.value(v, depth+1); masked {
			if out == nil {
				out = append([]any(nil), a...)
			}
			out[i] = w
		}
	}
	if out == nil {
		return a, false
	}
	return out, true
}

// pattern is one form of a secret in free text. hint is a text without which it cannot match, so that
// the usual value costs a few searches and no regular expression.
type pattern struct {
	hint    string
	re      *regexp.Regexp
	replace string
}

var patterns = []pattern{
	{"-----BEGIN", regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$)`), Redacted},
	{"eyJ", regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?`), Redacted},
	{"AKIA", regexp.MustCompile(`AKIA[0-9A-Z]{16}`), Redacted},
	{"ASIA", regexp.MustCompile(`ASIA[0-9A-Z]{16}`), Redacted},
	{"gh", regexp.MustCompile(`gh[pousr]_[A-Za-z0-9]{20,}`), Redacted},
	{"github_pat_", regexp.MustCompile(`github_pat_[A-Za-z0-9_]{20,}`), Redacted},
	{"k_live_", regexp.MustCompile(`[rs]k_live_[A-Za-z0-9]{8,}`), Redacted},
	{"earer ", regexp.MustCompile(`\b([Bb]earer) +[A-Za-z0-9._~+/=-]{8,}`), "$1 " + Redacted},
	{"://", regexp.MustCompile(`://[^\s/@:"']*:[^\s/@"']+@`), "://" + Redacted + "@"},
}

// Text gives s with everything that has the form of a secret replaced by Redacted: private keys in
// PEM, JSON web tokens, access keys of well-known services, bearer tokens, passwords in URLs, and
// numbers of payment cards.
func Text(s string) (out string, masked bool) {
	if len(s) < 12 {
		return s, false
	}
	out = s
	for _, p := range patterns {
		if strings.Contains(out, p.hint) {
			out = p.re.ReplaceAllString(out, p.replace)
		}
	}
	if digits(out) >= 15 {
		out = card.ReplaceAllStringFunc(out, func(number string) string {
			if luhn(number) {
				return Redacted
			}
			return number
		})
	}
	return out, out != s
}

// card matches the lengths and first digits of Visa, Mastercard, American Express and Discover:
// narrow, so that other long numbers, a tenth of which satisfy the checksum, stay.
var card = regexp.MustCompile(`\b(?:4\d{3}|5[1-5]\d{2}|2[2-7]\d{2}|6011|65\d{2})[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b|\b3[47]\d{2}[ -]?\d{6}[ -]?\d{5}\b`)

func digits(s string) (n int) {
	for i := range len(s) {
		if '0' <= s[i] && s[i] <= '9' {
			n++
		}
	}
	return n
}

// luhn reports whether the digits of number satisfy the checksum of ISO/IEC 7812-1.
func luhn(number string) bool {
	sum, double := 0, false
	for i := len(number) - 1; i >= 0; i-- {
		d := int(number[i]) - '0'
		if d < 0 || d > 9 {
			continue
		}
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		double = !double
	}
	return sum%10 == 0
}
