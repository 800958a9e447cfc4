package mask_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/mask"
)

func TestName(t *testing.T) {
	t.Parallel()
	secret := []string{
		"password", "Password", "passwordHash", "user_password", "password2", "PASSWD", "pwd", "passphrase",
		"client_secret", "ClientSecret", "salt", "otp", "cvv", "cvc", "ssn", "DSN", "credential", "Credentials",
		"authorization", "cookie", "api_key", "APIKey", "apiKey", "apikey", "x-api-key", "access_key", "private key",
		"SigningKey", "access_token", "RefreshToken", "auth.token", "sessionToken", "token", "Token", "reset_token",
	}
	open := []string{
		"", "business_name", "class_name", "carbon_footprint", "token_count", "TokenCount", "max_tokens",
		"code", "key", "session", "auth", "pin", "ip_address", "compass", "classname", "assn", "dessert", "saltiness",
		"cookiecutter", "author", "public_key", "key_api", "name", "_",
	}
	for _, name := range secret {
		if !mask.Name(name) {
			t.Errorf("Name(%q) = false, want true", name)
		}
	}
	for _, name := range open {
		if mask.Name(name) {
			t.Errorf("Name(%q) = true, want false", name)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"HTTPServerURL2": {"http", "server", "url", "2"}, "a_b-c.d e": {"a", "b", "c", "d", "e"}, "ÄpfelKern": {"äpfel", "kern"},
		"": nil, "__": nil, "x": {"x"}, "URL": {"url"},
	} {
		if got := mask.Words(name); !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"see eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig_-1 end":                       "see [REDACTED] end",
		"key AKIAIOSFODNN7EXAMPLE.":                                                 "key [REDACTED].",
		"ghp_abcdefghijklmnopqrstuvwxyz0123456789":                                  "[REDACTED]",
		"sk_live_abcdefgh12345678":                                                  "[REDACTED]",
		"Authorization: Bearer abcdefgh.12345":                                      "Authorization: Bearer [REDACTED]",
		"postgres://app:hunter2@db/prod":                                            "postgres://[REDACTED]@db/prod",
		"-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nrest": "[REDACTED]\nrest",
		"-----BEGIN PRIVATE KEY-----\nMII cut":                                      "[REDACTED]",
		"card 4111 1111 1111 1111 ok":                                               "card [REDACTED] ok",
		"amex 378282246310005":                                                      "amex [REDACTED]",
		"no card 4111 1111 1111 1112":                                               "no card 4111 1111 1111 1112",
		"order 1234567890123456789, EAN 4006381333931, https://example.org/a:b, the bearer of rings": "order 1234567890123456789, EAN 4006381333931, https://example.org/a:b, the bearer of rings",
		"short": "short",
	} {
		got, masked := mask.Text(in)
		if got != want || masked != (in != want) {
			t.Errorf("Text(%q) = %q, %v, want %q", in, got, masked, want)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"a":{"password":"x","n":1.50}}`:            `{"a":{"n":1.50,"password":"[REDACTED]"}}`,
		`[{"apiKey":{"deep":[1,2]}},"<ok>"]`:         `[{"apiKey":"[REDACTED]"},"<ok>"]`,
		`{"secret":null,"b":2}`:                      `{"secret":null,"b":2}`,
		`{ "kept" : "as it is", "n": 1e5 }`:          `{ "kept" : "as it is", "n": 1e5 }`,
		`no json postgres://u:pw@h`:                  `no json postgres://[REDACTED]@h`,
		`{"url":"amqp://guest:guest@h/"}`:            `{"url":"amqp://[REDACTED]@h/"}`,
		`{"Bearer abcdefgh1234": {"password": "x"}}`: `{"Bearer [REDACTED]":{"password":"[REDACTED]"}}`,
	} {
		got, masked := new(mask.Rules).JSON([]byte(in))
		if string(got) != want || masked != (in != want) {
			t.Errorf("JSON(%s) = %s, %v, want %s", in, got, masked, want)
		}
	}
}

func TestJSON_deeperThanTheLimit_isMasked(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`[`, 100) + `"canary"` + strings.Repeat(`]`, 100)
	if got, _ := new(mask.Rules).JSON([]byte(deep)); strings.Contains(string(got), "canary") {
		t.Errorf("value below the limit survived: %s", got)
	}
}

// FuzzMask puts a canary under a secret name at any place of a JSON document: it must be gone, and
// the rest must stay valid JSON.
func FuzzMask(f *testing.F) {
	for _, seed := range []string{`{}`, `[1,{"a":null}]`, `"text"`, `{"a":{"b":[{"c":"d"}]},"token":1}`, `nonsense {`, ``} {
		f.Add(seed, "password")
		f.Add(seed, "x-api-key")
	}
	f.Fuzz(func(t *testing.T, doc, name string) {
		if !mask.Name(name) {
			return
		}
		const canary = "c4n4ry-v4lu3"
		var inner any
		if json.Unmarshal([]byte(doc), &inner) != nil {
			inner = doc
		}
		data, err := json.Marshal([]any{inner, map[string]any{name: canary}, map[string]any{"k": map[string]any{name: []any{canary, inner}}}})
		if err != nil || strings.Contains(doc, canary) || strings.Contains(name, canary) {
			return
		}
		out, masked := new(mask.Rules).JSON(data)
		if !masked || strings.Contains(string(out), canary) {
			t.Fatalf("canary survived: %s", out)
		}
		if !json.Valid(out) {
			t.Fatalf("no JSON: %s", out)
		}
		again, _ := new(mask.Rules).JSON(out)
		if strings.Contains(string(again), canary) || !json.Valid(again) {
			t.Fatalf("masking twice: %s", again)
		}
	})
}

func TestRules_ofTheApplication(t *testing.T) {
	t.Parallel()
	r := &mask.Rules{Names: []string{"PIN"}, NoForms: true}
	in := `{"pin":"1234","url":"amqp://u:pw@h","secret":"x"}`
	if got, _ := r.JSON([]byte(in)); string(got) != `{"pin":"[REDACTED]","secret":"[REDACTED]","url":"amqp://u:pw@h"}` {
		t.Errorf("JSON(%s) = %s", in, got)
	}
}

func TestText_namedValues(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"host=h user=u password=hunter2 dbname=d":       "host=h user=u password=[REDACTED] dbname=d",
		"dial: DB_PASSWORD='it is hunter2' x":           "dial: DB_PASSWORD='[REDACTED]' x",
		"GET /a?token=abc&next=b":                       "GET /a?token=[REDACTED]&next=b",
		`row 3: {"name":"a","api_key": "k\"x", "n": 1}`: `row 3: {"name":"a","api_key": "[REDACTED]", "n": 1}`,
		`row 4: {"otp":123456}`:                         `row 4: {"otp":"[REDACTED]"}`,
		`cut "password":"hunter`:                        `cut "password":"[REDACTED]`,
		`in a text: "{\"secret\":\"hunter2\",\"b\":1}"`: `in a text: "{\"secret\":\"[REDACTED]\",\"b\":1}"`,
		`row 5: {"otp":[{"a":"]"}],"b":1}`:              `row 5: {"otp":"[REDACTED]","b":1}`,
		"pin=1234":                                      "pin=[REDACTED]",
		"password=":                                     "password=",
		"password: must have 8 characters":              "password: must have 8 characters",
		"a = b, token_count=7, time 10:30":              "a = b, token_count=7, time 10:30",
		`"token": null, password=[REDACTED] x`:          `"token": null, password=[REDACTED] x`,
	} {
		got, masked := (&mask.Rules{Names: []string{"pin"}}).Text(in)
		if got != want || masked != (in != want) {
			t.Errorf("Text(%q) = %q, %v, want %q", in, got, masked, want)
		}
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		` {"deep":[{"password":["x"]}]}`: `{"deep":[{"password":"[REDACTED]"}]}`,
		`[1`:                             `[1`,
		`text, password=x`:               `text, password=[REDACTED]`,
		`{"a":1}`:                        `{"a":1}`,
	} {
		got, masked := new(mask.Rules).Document(in)
		if got != want || masked != (in != want) {
			t.Errorf("Document(%q) = %q, %v, want %q", in, got, masked, want)
		}
	}
}

func TestRules_withoutTheBuiltInNames(t *testing.T) {
	t.Parallel()
	r := &mask.Rules{Names: []string{"pin"}, NoNames: true}
	if !r.Name("pin") || r.Name("password") {
		t.Error("the list of names is not that of the application")
	}
}

// FuzzKeyed: a value behind a secret name is gone, whatever stands around it.
func FuzzKeyed(f *testing.F) {
	for _, seed := range []string{"", "x ", `{"a":"b",`, "password=", `\`, "'", "é"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		const canary = "c4n4ry-v4lu3"
		if strings.Contains(before+after, canary) {
			return
		}
		for _, form := range []string{" password=" + canary + " ", ` "api_key": "` + canary + `" `, " secret='" + canary + "' "} {
			out, _ := new(mask.Rules).Text(before + form + after)
			if strings.Contains(out, canary) {
				t.Fatalf("canary survived: %q", out)
			}
		}
	})
}
