package store

import (
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestFold_ignoresCaseAccentsAndForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                      "",
		"customer":              "customer",
		"John.DOE@Example.com":  "john.doe@example.com",
		"Nguyễn Thị Đào":        "nguyen thi dao",
		"ĐÀ NẴNG":               "da nang",
		"Đường Lê Đức Thọ":      "duong le duc tho",
		"Łódź, Straße, Ærø":     "lodz, strasse, aero",
		"Müller-Lüdenscheidt":   "muller-ludenscheidt",
		"ΟΔΥΣΣΕΥΣ Οδυσσεύς":     "οδυσσευσ οδυσσευσ",
		"Ｆｕｌｌ ｗｉｄｔｈ ﬁn":         "full width fin",
		"İstanbul ISPARTA ılık": "istanbul isparta ilik",
		"한국어":                   "한국어",
		"ภาษาไทย":               "ภาษาไทย",
		"हिन्दी":                "हिन्दी",
		"a\xffb":                "a\uFFFDb",
	} {
		if got := Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
		if got := Fold(norm.NFD.String(in)); got != want {
			t.Errorf("Fold(NFD %q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{"Nguyễn", "ß", "İ", "ᾳ", "ŉ", "ﷺ", "\xff", "ǰ", "Ⅷ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := Fold(s)
		if !utf8.ValidString(once) {
			t.Fatalf("Fold(%q) = %q is not UTF-8", s, once)
		}
		if twice := Fold(once); twice != once {
			t.Fatalf("Fold(%q) = %q, folded again %q", s, once, twice)
		}
		if utf8.ValidString(s) {
			if nfd := Fold(norm.NFD.String(s)); nfd != once {
				t.Fatalf("Fold(%q) = %q, of its NFD %q", s, once, nfd)
			}
		}
	})
}
