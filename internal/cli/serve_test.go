package cli

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// trail makes a database of an application with n records.
func trail(t *testing.T, n int) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "app.db")
	db, err := gorm.Open(sqlite.Open(file), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	s, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	docs := make([]store.Doc, n)
	for i := range docs {
		docs[i].Record = event.Record{
			LogID: "id-" + strconv.Itoa(1_000_000 + i)[1:], Timestamp: november.Add(time.Duration(i) * time.Second), Action: event.ActionAdd,
			ObjectType: "customer", ObjectID: strconv.Itoa(i), Username: "john.doe", TenantID: "t" + strconv.Itoa(i%2), IPAddress: "10.0.0.7",
			ChangeMessage: event.TextMessage(event.TextCreated),
		}
	}
	results, err := s.Write(t.Context(), docs)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return file
}

func TestServe_databaseOfAnApplication(t *testing.T) {
	t.Parallel()
	file := trail(t, 40)
	address, stop := serve(t, map[string]string{"AUDIT_API_TOKENS": "me=" + token}, "--database", "sqlite:"+file)
	defer stop()
	checkServe(t, address, 40)
}

func TestServe_tokenFile_restricts(t *testing.T) {
	t.Parallel()
	file := trail(t, 40)
	tokens := filepath.Join(t.TempDir(), "tokens")
	const restricted = "abcdef0123456789"
	if err := os.WriteFile(tokens, []byte("# name token restrictions\nall "+token+"\nacme "+restricted+" tenant_id=t1 hide=ip_address\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, stop := serve(t, map[string]string{
		"AUDIT_DATABASE": "sqlite:" + file, "AUDIT_TIMEZONE": "Asia/Ho_Chi_Minh", "AUDIT_API_SECRET": strings.Repeat("s", 32),
	}, "--token-file", tokens)
	defer stop()
	for _, c := range []struct {
		bearer, path string
		status       int
		want         string
	}{
		{token, "search/?page_size=1", 200, "40"},
		{restricted, "search/?page_size=1", 200, "20"},
		{token, "detail/id-000000/", 200, "10.0.0.7"},
		{restricted, "detail/id-000000/", 404, ""},
		{restricted, "detail/id-000001/", 200, "id-000001"},
		// 11:05 in Ho Chi Minh City.
		{token, "search/?from_date=2026-11-03&to_date=2026-11-03", 200, "40"},
		{token, "search/?from_date=2026-11-04", 200, ""},
	} {
		status, body := request(t, http.MethodGet, address+"/api/audit-logs/"+c.path, c.bearer)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, status, body, c.status, c.want)
		}
		if c.bearer == restricted && strings.Contains(body, "10.0.0.7") {
			t.Errorf("%s shows what is hidden: %s", c.path, body)
		}
	}
}

// A file that has only the hash of a token knows its bearer, and reading is recorded unless it is switched off.
func TestServe_hashedToken_andItsReads(t *testing.T) {
	t.Parallel()
	file := trail(t, 4)
	made := execute(t.Context(), nil, "token", "acme", "tenant_id=t1")
	words := strings.Fields(made.stdout)
	if made.code != 0 || len(words) != 6 || words[0] != "token:" || words[2] != "line:" {
		t.Fatalf("%+v", made)
	}
	secret, line := words[1], strings.Join(words[3:], " ")
	if strings.Contains(line, secret) {
		t.Fatalf("the line has the token: %s", line)
	}
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte(line+"\nall "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address, stop := serve(t, map[string]string{}, "--database", "sqlite:"+file, "--token-file", tokens, "--record-reads")
	defer stop()
	for _, c := range []struct {
		bearer, path string
		status       int
		want         string
	}{
		{secret, "detail/id-000001/", 200, "id-000001"},
		{strings.TrimPrefix(words[4], "sha256:"), "detail/id-000001/", 401, ""}, // the hash is no token
		{words[4], "detail/id-000001/", 401, ""},
		{token, "search/?action=ACCESS&object_id=id-000001", 200, `"username":"acme"`},
		{secret, "search/?action=ACCESS&username=all", 200, `"total":0`},
		{token, "openapi.json", 200, `"openapi":"3.1.0"`},
		{token, "objects/a%2Fb/1/history/", 200, `"results":[]`},
	} {
		if status, body := request(t, http.MethodGet, address+"/api/audit-logs/"+c.path, c.bearer); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, status, body, c.status, c.want)
		}
	}
	for _, args := range [][]string{{"token", "a=b"}, {"token", "a", "tenant=x"}} {
		if got := execute(t.Context(), nil, args...); got.code != ExitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestServe_cannotStart(t *testing.T) {
	t.Parallel()
	file := trail(t, 1)
	tokens := map[string]string{"AUDIT_API_TOKENS": "me=" + token}
	address, stop := serve(t, tokens, "--database", "sqlite:"+file)
	t.Cleanup(stop)
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"address is taken", []string{"--database", "sqlite:" + file, "--listen", strings.TrimPrefix(address, "http://")}, "address already in use"},
		{"no such file", []string{"--database", "sqlite:" + file + ".none"}, "unable to open database file"},
		{"no such table", []string{"--database", "sqlite:" + file, "--table", "other"}, "read table other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := execute(t.Context(), tokens, append([]string{"serve"}, c.args...)...)
			if got.code != ExitFailed || !strings.Contains(got.stderr, c.want) {
				t.Errorf("%+v, want %s", got, c.want)
			}
			if _, err := os.Stat(file + ".none"); err == nil {
				t.Error("the file was made")
			}
		})
	}
}
