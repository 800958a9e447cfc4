package store

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWords_splitsAtEverythingElse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"":                               nil,
		" -- !? ":                        nil,
		"John.Doe@example.com":           {"john", "doe", "example", "com"},
		"cus_456":                        {"cus", "456"},
		"Nguyễn Thị Đào":                 {"nguyen", "thi", "dao"},
		"+84 90-123":                     {"84", "90", "123"},
		"東京都A1":                          {"東", "京", "都", "a1"},
		"x東":                             {"x", "東"},
		"ที่":                            {"ที่"},
		"हिन्दी भाषा":                    {"हिन्दी", "भाषा"},
		"a\x00b":                         {"a", "b"},
		strings.Repeat("x", 300):         {strings.Repeat("x", MaxWordLength)},
		strings.Repeat("x", 199) + "жжж": {strings.Repeat("x", 199)},
	} {
		if diff := cmp.Diff(want, Words(in)); diff != "" {
			t.Errorf("Words(%q): %s", in, diff)
		}
	}
}

func TestParseText_takesEverything(t *testing.T) {
	t.Parallel()
	word := func(w ...string) Term { return Term{Words: w} }
	prefix := func(w ...string) Term { return Term{Words: w, Prefix: true} }
	for in, want := range map[string][]Term{
		"":                        nil,
		"  \t":                    nil,
		"*":                       nil,
		`"`:                       nil,
		`""`:                      nil,
		`"*"`:                     nil,
		"nguyen DAO":              {word("nguyen"), word("dao")},
		"Đà*":                     {prefix("da")},
		`"john smith" x`:          {word("john", "smith"), word("x")},
		`“john smith”`:            {word("john", "smith")},
		`"john sm"*`:              {prefix("john", "sm")},
		`"john sm*"`:              {word("john", "sm")},
		`"never closed`:           {word("never", "closed")},
		"john.doe":                {word("john", "doe")},
		"john.d*":                 {prefix("john", "d")},
		"192.168.*":               {word("192", "168")},
		`a"b c"d`:                 {word("a"), word("b", "c"), word("d")},
		"*a b*c":                  {word("a"), prefix("b"), word("c")},
		"a OR (b AND -c) ~2 ^x:y": {word("a"), word("or"), word("b"), word("and"), word("c"), word("2"), word("x", "y")},
		"a\u00a0b\u3000c":         {word("a"), word("b"), word("c")},
		"\xff\xfe":                nil,
	} {
		if diff := cmp.Diff(want, ParseText(in)); diff != "" {
			t.Errorf("ParseText(%q): %s", in, diff)
		}
	}
}

func TestMatchText_needsAllTerms(t *testing.T) {
	t.Parallel()
	const text = "john doe example com cus 456"
	for query, want := range map[string]bool{
		"john":           true,
		"JOHN 456":       true,
		"doe john":       true,
		`"doe john"`:     false,
		`"john doe"`:     true,
		"john.doe@exam*": true,
		"exam":           false,
		"exam*":          true,
		"xam*":           false,
		"john missing":   false,
		"cus_456":        true,
		"cus_45":         false,
		"com_cus*":       true,
	} {
		if got := MatchText(ParseText(query), text); got != want {
			t.Errorf("%q matches: %v, want %v", query, got, want)
		}
	}
}

func FuzzParseText(f *testing.F) {
	for _, s := range []string{`a "b c" d*`, `"`, `**`, `“x`, "ที่*", "東京*", "\xff*", `a"*"b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, term := range ParseText(s) {
			if len(term.Words) == 0 {
				t.Fatalf("ParseText(%q) has a term without a word", s)
			}
			for _, w := range term.Words {
				if got := Words(w); len(got) != 1 || got[0] != w {
					t.Fatalf("ParseText(%q) has the word %q, whose words are %q", s, w, got)
				}
			}
			if !MatchText([]Term{term}, strings.Join(term.Words, " ")) {
				t.Fatalf("ParseText(%q): %q does not match itself", s, term.Words)
			}
		}
	})
}
