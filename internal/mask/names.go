// Package mask knows which names and values must never be written to the audit trail.
package mask

import (
	"strings"
	"unicode"
)

const (
	// Redacted stands in place of a masked value.
	Redacted = "[REDACTED]"
	// Failed stands in place of a value whose masker panicked or gave what cannot be encoded.
	Failed = "[MASK_ERROR]"
)

// secretWords hide a name that has one of them as a whole word. Substrings would hide
// business_name (ssn), class_name (pass) and token_count.
var secretWords = set("password", "passwords", "passwd", "pwd", "passphrase", "secret", "secrets", "salt", "otp",
	"cvv", "cvc", "ssn", "dsn", "credential", "credentials", "authorization", "cookie", "cookies",
	"apikey", "accesskey", "privatekey", "signingkey", "accesstoken", "refreshtoken", "authtoken", "sessiontoken")

// secretPairs hide a name that has the two as neighbouring words. The second words alone are
// harmless: key, session, auth are names of ordinary columns.
var secretPairs = map[string]map[string]bool{
	"api":     set("key", "keys"),
	"access":  set("key", "keys", "token", "tokens"),
	"private": set("key", "keys"),
	"signing": set("key", "keys"),
	"refresh": set("token", "tokens"),
	"auth":    set("token", "tokens"),
	"session": set("token", "tokens"),
}

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// Name reports whether a column, field, or key of this name holds a secret. It is decided by whole
// words of snake_case, camelCase and kebab-case names. The word token hides a name that ends with it
// (token, reset_token), not one that goes on (token_count).
func Name(name string) bool {
	words := Words(name)
	for i, w := range words {
		if secretWords[w] {
			return true
		}
		if i > 0 && secretPairs[words[i-1]][w] {
			return true
		}
	}
	return len(words) > 0 && words[len(words)-1] == "token"
}

// Words splits a name into its lower-case words: at everything that is no letter or digit, between a
// lower-case and an upper-case letter, and before the last letter of a run of capitals (APIKey).
func Words(name string) []string {
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
			word = word[:0]
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			continue
		case unicode.IsDigit(r):
			// Digits count as a word of their own: password2, 2password.
			if i > 0 && !unicode.IsDigit(runes[i-1]) {
				end()
			}
		case i > 0 && unicode.IsDigit(runes[i-1]):
			end()
		case unicode.IsUpper(r) && i > 0 && !unicode.IsUpper(runes[i-1]):
			end()
		case unicode.IsUpper(r) && i+1 < len(runes) && unicode.IsLower(runes[i+1]):
			end()
		}
		word = append(word, r)
	}
	end()
	return words
}
