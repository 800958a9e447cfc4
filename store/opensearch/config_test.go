package opensearch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func lookup(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestConfigFromEnv(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		variables map[string]string
		want      Config
	}{
		{"nothing set", nil, Config{Addresses: []string{"http://localhost:9200"}, IndexPrefix: "audit-logs"}},
		{"the specification's", map[string]string{
			"OPENSEARCH_HOST": "localhost", "OPENSEARCH_PORT": "9200", "OPENSEARCH_USERNAME": "admin", "OPENSEARCH_PASSWORD": "Admin@123",
			"OPENSEARCH_USE_SSL": "false", "OPENSEARCH_VERIFY_CERTS": "false", "OPENSEARCH_INDEX_PREFIX": "audit-logs",
		}, Config{Addresses: []string{"http://localhost:9200"}, Username: "admin", Password: "Admin@123", IndexPrefix: "audit-logs"}},
		{"TLS, two nodes, one of them IPv6", map[string]string{
			"OPENSEARCH_HOST": "a.example, ::1", "OPENSEARCH_PORT": "443", "OPENSEARCH_USE_SSL": "True", "OPENSEARCH_CA_FILE": ca,
		}, Config{Addresses: []string{"https://a.example:443", "https://[::1]:443"}, IndexPrefix: "audit-logs", CACert: []byte("pem")}},
		{
			"TLS not verified",
			map[string]string{"OPENSEARCH_USE_SSL": "1", "OPENSEARCH_VERIFY_CERTS": "no"},
			Config{Addresses: []string{"https://localhost:9200"}, IndexPrefix: "audit-logs", InsecureSkipVerify: true},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := ConfigFromEnv(lookup(c.variables))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(Config{}, "Logger", "Transport")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigFromEnv_namesEveryWrongValue(t *testing.T) {
	t.Parallel()
	_, err := ConfigFromEnv(lookup(map[string]string{
		"OPENSEARCH_HOST": "http://localhost", "OPENSEARCH_PORT": "92000", "OPENSEARCH_USE_SSL": "ja", "OPENSEARCH_VERIFY_CERTS": "2",
		"OPENSEARCH_PASSWORD": "geheim", "OPENSEARCH_INDEX_PREFIX": "Audit Logs", "OPENSEARCH_CA_FILE": "/nowhere/ca.pem",
	}))
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		`OPENSEARCH_HOST is "http://localhost"`, `OPENSEARCH_PORT is "92000", want a port, 1 to 65535`, `OPENSEARCH_USE_SSL is "ja"`,
		`OPENSEARCH_VERIFY_CERTS is "2"`, "OPENSEARCH_USERNAME", `OPENSEARCH_INDEX_PREFIX is "Audit Logs": want lower case`, `OPENSEARCH_CA_FILE is "/nowhere/ca.pem"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("the password is in %v", err)
	}
}

func TestNew_namesEveryWrongValue(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		Addresses: []string{"localhost:9200", "https://u:geheim@h"}, Username: "u", CACert: []byte("no"), IndexPrefix: "_x",
		MaxBulkBytes: -1, BulkTimeout: -1, Timeout: -1,
	})
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"localhost:9200", "Username and Password", "CACert", "IndexPrefix", "MaxBulkBytes", "BulkTimeout", "Config.Timeout"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("the password is in %v", err)
	}
}
