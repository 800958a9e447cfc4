package reqinfo_test

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/internal/reqinfo"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func proxies(t testing.TB, list ...string) []netip.Prefix {
	t.Helper()
	p, err := reqinfo.ParseProxies(list...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseProxies_namesWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := reqinfo.ParseProxies("10.0.0.0/8", "10.0.0.0/33", "::1", "proxy.local", "fe80::1%eth0", "")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"10.0.0.0/33"`, `"proxy.local"`, `"fe80::1%eth0"`, `""`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if strings.Contains(err.Error(), `"::1"`) {
		t.Errorf("%v names a good entry", err)
	}
}

// TestClientIP_isNotForged is row 3 of the threat table.
func TestClientIP_isNotForged(t *testing.T) {
	t.Parallel()
	none := proxies(t)
	lb := proxies(t, "10.0.0.0/8", "2001:db8::/32")
	all := proxies(t, "0.0.0.0/0", "::/0")
	for _, c := range []struct {
		name      string
		remote    string
		forwarded []string
		trusted   []netip.Prefix
		want      string
	}{
		{"no header", "192.0.2.1:1234", nil, lb, "192.0.2.1"},
		{"nobody is trusted by default", "192.0.2.1:1234", []string{"203.0.113.9"}, none, "192.0.2.1"},
		{"loopback is not trusted by default", "127.0.0.1:1234", []string{"203.0.113.9"}, none, "127.0.0.1"},
		{"not from a proxy", "192.0.2.1:1234", []string{"203.0.113.9"}, lb, "192.0.2.1"},
		{"from a proxy", "10.1.2.3:1234", []string{"203.0.113.9"}, lb, "203.0.113.9"},
		{"what the client wrote to the left", "10.1.2.3:1234", []string{"1.1.1.1, 203.0.113.9"}, lb, "203.0.113.9"},
		{"and claims to be a proxy", "10.1.2.3:1234", []string{"1.1.1.1, 10.9.9.9, 203.0.113.9"}, lb, "203.0.113.9"},
		{"chain of proxies", "10.1.2.3:1234", []string{"203.0.113.9, 10.0.0.1,10.0.0.2"}, lb, "203.0.113.9"},
		{"several headers are one list", "10.1.2.3:1234", []string{"1.1.1.1", "203.0.113.9", "10.0.0.2"}, lb, "203.0.113.9"},
		{"all trusted: the leftmost", "10.1.2.3:1234", []string{"203.0.113.9, 198.51.100.7"}, all, "203.0.113.9"},
		{"only proxies", "10.1.2.3:1234", []string{"10.0.0.5"}, lb, "10.0.0.5"},
		{"no address ends it", "10.1.2.3:1234", []string{"203.0.113.9, unknown, 10.0.0.2"}, lb, "10.0.0.2"},
		{"empty entry ends it", "10.1.2.3:1234", []string{"203.0.113.9,"}, lb, "10.1.2.3"},
		{"empty header", "10.1.2.3:1234", []string{""}, lb, "10.1.2.3"},
		{"entry with a port", "10.1.2.3:1234", []string{"203.0.113.9:4711"}, lb, "203.0.113.9"},
		{"IPv6", "[2001:db8::1]:1234", []string{"2001:dba::9"}, lb, "2001:dba::9"},
		{"IPv6 with a port", "[2001:db8::1]:1234", []string{"[2001:dba::9]:80"}, lb, "2001:dba::9"},
		{"IPv6 in brackets", "[2001:db8::1]:1234", []string{"[2001:dba::9]"}, lb, "2001:dba::9"},
		{"IPv4 in IPv6 is that block", "[::ffff:10.1.2.3]:1234", []string{"::ffff:203.0.113.9"}, lb, "203.0.113.9"},
		{"a block of IPv4 in IPv6", "10.1.2.3:1234", []string{"203.0.113.9"}, proxies(t, "::ffff:10.0.0.0/104"), "203.0.113.9"},
		{"zone is no text channel", "[2001:db8::1]:1", []string{"fe80::1%<script>"}, lb, "fe80::1"},
		{"CRLF", "10.1.2.3:1234", []string{"203.0.113.9\r\nX: y"}, lb, "10.1.2.3"},
		{"quoted", "10.1.2.3:1234", []string{`"203.0.113.9"`}, lb, "10.1.2.3"},
		{"leading zeros are no octal", "10.1.2.3:1234", []string{"0177.0.0.1"}, lb, "10.1.2.3"},
		{"unix socket", "@", []string{"203.0.113.9"}, all, ""},
		{"no remote address", "", []string{"203.0.113.9"}, all, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := reqinfo.ClientIP(c.remote, c.forwarded, c.trusted); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzForwardedFor: the answer is an address, and without a trusted proxy it is that of the
// connection whatever the header says. What a client writes left of its own address does not matter.
func FuzzForwardedFor(f *testing.F) {
	f.Add("203.0.113.9, 10.0.0.1", "1.1.1.1")
	f.Add("[::1]:80,,\x00, fe80::1%x\r\n", "10.0.0.1")
	f.Add("unknown", "::ffff:10.0.0.1")
	lb := proxies(f, "10.0.0.0/8", "fd00::/8")
	f.Fuzz(func(t *testing.T, header, forged string) {
		if got := reqinfo.ClientIP("192.0.2.1:1", []string{header}, nil); got != "192.0.2.1" {
			t.Fatalf("forged by %q: %q", header, got)
		}
		if got := reqinfo.ClientIP("192.0.2.1:1", []string{header}, lb); got != "192.0.2.1" {
			t.Fatalf("forged by %q from no proxy: %q", header, got)
		}
		got := reqinfo.ClientIP("10.0.0.1:1", []string{header}, lb)
		if addr, err := netip.ParseAddr(got); err != nil || addr.Zone() != "" {
			t.Fatalf("%q gives %q", header, got)
		}
		// The proxy appends 203.0.113.9 to whatever came.
		for _, values := range [][]string{{forged + ", 203.0.113.9"}, {header, forged, "203.0.113.9"}, {forged + ",203.0.113.9, 10.0.0.2"}} {
			if got := reqinfo.ClientIP("10.0.0.1:1", values, lb); got != "203.0.113.9" {
				t.Fatalf("forged by %q: %q", values, got)
			}
		}
	})
}

func TestTraceparent(t *testing.T) {
	t.Parallel()
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, c := range []struct {
		name   string
		values []string
		ok     bool
	}{
		{"good", []string{"00-" + trace + "-" + span + "-01"}, true},
		{"not sampled", []string{"00-" + trace + "-" + span + "-00"}, true},
		{"later version", []string{"cc-" + trace + "-" + span + "-01"}, true},
		{"later version with more", []string{"cc-" + trace + "-" + span + "-01-what"}, true},
		{"later version glued", []string{"cc-" + trace + "-" + span + "-01what"}, false},
		{"version 00 with more", []string{"00-" + trace + "-" + span + "-01-what"}, false},
		{"version ff", []string{"ff-" + trace + "-" + span + "-01"}, false},
		{"version no hex", []string{"0x-" + trace + "-" + span + "-01"}, false},
		{"upper case", []string{"00-" + strings.ToUpper(trace) + "-" + span + "-01"}, false},
		{"zero trace", []string{"00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, false},
		{"zero span", []string{"00-" + trace + "-" + strings.Repeat("0", 16) + "-01"}, false},
		{"flags no hex", []string{"00-" + trace + "-" + span + "-0g"}, false},
		{"short", []string{"00-" + trace + "-" + span}, false},
		{"line break", []string{"00-" + trace + "-" + span[:15] + "\n-01"}, false},
		{"empty", []string{""}, false},
		{"twice", []string{"00-" + trace + "-" + span + "-01", "00-" + trace + "-" + span + "-01"}, false},
		{"none", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			gotTrace, gotSpan := reqinfo.Traceparent(c.values)
			if c.ok && (gotTrace != trace || gotSpan != span) || !c.ok && (gotTrace != "" || gotSpan != "") {
				t.Errorf("got %q %q", gotTrace, gotSpan)
			}
		})
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, value string) {
		trace, span := reqinfo.Traceparent([]string{value})
		if trace == "" && span == "" {
			return
		}
		if len(trace) != 32 || len(span) != 16 || strings.Trim(trace+span, "0123456789abcdef") != "" {
			t.Fatalf("%q gives %q %q", value, trace, span)
		}
	})
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	config := reqinfo.Config{Now: func() time.Time { return time.UnixMilli(0x0123456789ab) }}.WithDefaults()
	for _, c := range []struct {
		name              string
		request, response []string
		want              string // "" is a new one
	}{
		{"taken over", []string{"abc-123_X.y:z+/="}, nil, "abc-123_X.y:z+/="},
		{"longest", []string{strings.Repeat("a", 128)}, nil, strings.Repeat("a", 128)},
		{"too long", []string{strings.Repeat("a", 129)}, nil, ""},
		{"none", nil, nil, ""},
		{"empty", []string{""}, nil, ""},
		{"twice", []string{"a", "b"}, nil, ""},
		{"line break", []string{"a\nb"}, nil, ""},
		{"escape sequence", []string{"\x1b[31ma"}, nil, ""},
		{"space", []string{"a b"}, nil, ""},
		{"not ASCII", []string{"é"}, nil, ""},
		{"quote", []string{`a"b`}, nil, ""},
		{"that of other middleware wins", []string{"a"}, []string{"b"}, "b"},
		{"bad one of other middleware", []string{"a"}, []string{"b c"}, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{Header: http.Header{"X-Request-Id": c.request}}
			response := http.Header{}
			if c.response != nil {
				response["X-Request-Id"] = c.response
			}
			got := config.Facts(r, response).RequestID
			if c.want != "" && got != c.want || c.want == "" && (!strings.HasPrefix(got, "01234567-89ab-7") || len(got) != 36) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if echo := response.Values("X-Request-Id"); len(echo) != 1 || echo[0] != got {
				t.Errorf("the response has %q, want %q", echo, got)
			}
		})
	}
}

func TestFacts_areBounded(t *testing.T) {
	t.Parallel()
	config := reqinfo.Config{}.WithDefaults()
	f := config.Facts(&http.Request{Method: strings.Repeat("M", 1000), Header: http.Header{"User-Agent": {strings.Repeat("é", 10_000)}}}, http.Header{})
	if len(f.Method) != 32 || f.UserAgent != strings.Repeat("é", 512) {
		t.Errorf("%d %d", len(f.Method), len(f.UserAgent))
	}
}

func TestSessionKey_isAKeyedHash(t *testing.T) {
	t.Parallel()
	a := reqinfo.Config{SessionHashKey: []byte("key a")}
	b := reqinfo.Config{SessionHashKey: []byte("key b")}
	none := reqinfo.Config{}
	// echo -n secret | openssl dgst -sha256 -hmac "key a"
	const want = "c6d711a8c267314bf9281c4c8d309c78a1f79664cc0551880382b6713cd2bec9"
	if got := a.SessionKey("secret"); got != want {
		t.Errorf("got %s", got)
	}
	if a.SessionKey("secret") == b.SessionKey("secret") || none.SessionKey("secret") != "" || a.SessionKey("") != "" {
		t.Error("the hash does not depend on the key, or there is one without session or key")
	}
}

func TestRouteOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"GET /customers/{id}": "/customers/{id}", "/a/": "/a/", "example.com/a/{b...}": "/a/{b...}", "POST example.com/": "/", "": "",
	} {
		if got := reqinfo.RouteOf(in); got != want {
			t.Errorf("RouteOf(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestLate_asksUntilItKnows(t *testing.T) {
	t.Parallel()
	asked := 0
	l := reqinfo.NewLate(func() (string, bool) { asked++; return "x", asked >= 3 })
	for i, want := range []string{"", "", "x", "x"} {
		if got, ok := l.Get(); ok != (want != "") || ok && got != want {
			t.Errorf("%d: %q %v", i, got, ok)
		}
	}
	l.Close()
	if got, ok := l.Get(); got != "x" || !ok || asked != 3 {
		t.Errorf("after Close %q %v, asked %d times", got, ok, asked)
	}
}

func TestLate_closeAsksALastTime(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		asked := 0
		l := reqinfo.NewLate(func() (int, bool) { asked++; return 7, known })
		l.Close()
		l.Close()
		if _, ok := l.Get(); ok != known || asked != 1 {
			t.Errorf("known %v: got %v, asked %d times", known, ok, asked)
		}
	}
}

func TestLate_recursionEnds(t *testing.T) {
	t.Parallel()
	var l *reqinfo.Late[int]
	inner := true
	l = reqinfo.NewLate(func() (int, bool) { _, inner = l.Get(); return 7, true })
	if v, ok := l.Get(); v != 7 || !ok || inner {
		t.Errorf("%d %v, inner %v", v, ok, inner)
	}
}

func TestLate_goesOnAfterAPanic(t *testing.T) {
	t.Parallel()
	first := true
	l := reqinfo.NewLate(func() (int, bool) {
		if first {
			first = false
			panic("no")
		}
		return 7, true
	})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		l.Get()
	}()
	if v, ok := l.Get(); v != 7 || !ok {
		t.Errorf("%d %v", v, ok)
	}
}

func TestLate_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	for range 200 {
		busy := false // not guarded: the race detector sees two asks at once
		asked := 0
		l := reqinfo.NewLate(func() (int, bool) {
			if busy || asked == 3 {
				t.Error("asked by two, or after it was known")
			}
			busy = true
			asked++
			busy = false
			return 7, asked == 3
		})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if v, ok := l.Get(); ok && v != 7 {
					t.Errorf("got %d", v)
				}
			})
		}
		l.Close()
		wg.Wait()
	}
}
