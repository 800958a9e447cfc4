// Package testservers gives tests the addresses of the real servers that scripts/services.sh starts.
//
// Each function reads one environment variable. Without it the test is skipped, with a message that
// names the variable; if AUDIT_TEST_SERVERS is "required", as under make test, the test fails
// instead, so that a suite cannot pass by not running. The servers are shared by all packages:
// tests use names of their own (see Name, PostgresSchema, MariaDBDatabase and MySQLDatabase) and remove what they
// made.
package testservers

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"
)

// Required reports whether tests must fail where a server is missing: AUDIT_TEST_SERVERS=required.
func Required() bool {
	return os.Getenv("AUDIT_TEST_SERVERS") == "required"
}

// Postgres gives the DSN of PostgreSQL, in key=value form; the account may create schemas and
// databases. Most tests want PostgresSchema instead.
func Postgres(t testing.TB) string {
	t.Helper()
	return address(t, "PostgreSQL", "POSTGRES_DSN")
}

// MariaDB gives the DSN of MariaDB in the form of go-sql-driver/mysql; the account may create
// databases. Most tests want MariaDBDatabase instead.
func MariaDB(t testing.TB) string {
	t.Helper()
	return address(t, "MariaDB", "MARIADB_DSN")
}

// MySQL gives the DSN of MySQL, which runs for the long counts only; the account may create databases.
// Most tests want MySQLDatabase instead.
func MySQL(t testing.TB) string {
	t.Helper()
	return address(t, "MySQL", "MYSQL_DSN")
}

// RabbitMQ gives the URI of RabbitMQ's stream listener; the account is an administrator.
func RabbitMQ(t testing.TB) string {
	t.Helper()
	return address(t, "RabbitMQ", "RABBITMQ_STREAM_URI")
}

// RabbitMQTLS is the listener of RabbitMQ with TLS, and the files that clients need.
type RabbitMQTLS struct{ URI, CAFile, CertFile, KeyFile string }

// RabbitMQWithTLS gives the listener of RabbitMQ that has TLS.
func RabbitMQWithTLS(t testing.TB) RabbitMQTLS {
	t.Helper()
	of := func(variable string) string { return address(t, "RabbitMQ", variable) }
	return RabbitMQTLS{of("RABBITMQ_STREAM_TLS_URI"), of("RABBITMQ_CA_FILE"), of("RABBITMQ_CLIENT_CERT_FILE"), of("RABBITMQ_CLIENT_KEY_FILE")}
}

// RabbitMQManagement gives the URL of RabbitMQ's management API, with user and password in it.
func RabbitMQManagement(t testing.TB) string {
	t.Helper()
	return address(t, "RabbitMQ management", "RABBITMQ_MANAGEMENT_URI")
}

// Name gives prefix with a random suffix, in lower case letters and digits: a name that no other test
// uses, for a schema, a stream or an index. Whoever makes the thing removes it.
func Name(t testing.TB, prefix string) string {
	t.Helper()
	var b [6]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	return prefix + hex.EncodeToString(b[:])
}

// address gives the value of variable, or ends the test.
func address(t testing.TB, server, variable string) string {
	t.Helper()
	v, err := lookup(server, variable)
	Need(t, err)
	t.Attr("server", server) // counted by internal/testsummary
	return v
}

// Need ends the test if err, which says what it needs and is not there, is not nil: as failed if the servers are
// required, else as skipped. It is the only place where a test may be skipped.
func Need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case Required():
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// Long reports whether the full counts are asked for: make test-long sets AUDIT_TEST_LONG.
func Long() bool { return os.Getenv("AUDIT_TEST_LONG") != "" }
