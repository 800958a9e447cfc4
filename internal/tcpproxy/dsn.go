package tcpproxy

import (
	"net"
	"regexp"
	"strconv"
	"testing"
)

// addresses find host and port in the DSN of a database.
var addresses = []*regexp.Regexp{
	regexp.MustCompile(`host=(\S+).*?port=(\d+)`),
	regexp.MustCompile(`@([^:/@]+):(\d+)/`),
	regexp.MustCompile(`tcp\(([^:]+):(\d+)\)`),
}

// Through gives the DSN of a database, PostgreSQL's in either form or that of go-sql-driver/mysql, with a
// proxy before the server.
func Through(t testing.TB, dsn string) (string, *Proxy) {
	t.Helper()
	for _, re := range addresses {
		at := re.FindStringSubmatchIndex(dsn)
		if at == nil {
			continue
		}
		proxy := New(t, net.JoinHostPort(dsn[at[2]:at[3]], dsn[at[4]:at[5]]))
		return dsn[:at[2]] + "127.0.0.1" + dsn[at[3]:at[4]] + strconv.Itoa(proxy.Port()) + dsn[at[5]:], proxy
	}
	t.Fatal("no address in the DSN")
	return "", nil
}
