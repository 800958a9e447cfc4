package rabbit_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/stream/rabbit"
)

func TestConfigFromEnv(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"RABBITMQ_STREAM_HOST": "rabbit.example", "RABBITMQ_STREAM_PORT": "15552", "RABBITMQ_STREAM_USER": "audit",
		"RABBITMQ_STREAM_PASSWORD": "p@ss/%word", "RABBITMQ_STREAM_VHOST": "v", "RABBITMQ_STREAM_NAME": "s",
		"RABBITMQ_STREAM_TLS": "true", "RABBITMQ_STREAM_SERVER_NAME": "name", "RABBITMQ_STREAM_FIXED_ADDRESS": "1",
	}
	c, err := rabbit.ConfigFromEnv(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != "rabbit.example" || c.Port != 15552 || c.User != "audit" || c.Password != "p@ss/%word" || c.VHost != "v" ||
		c.Stream != "s" || c.TLS == nil || c.TLS.ServerName != "name" || !c.FixedAddress {
		t.Errorf("got %+v", c)
	}
	for _, text := range []string{fmt.Sprint(c), fmt.Sprintf("%#v", c), fmt.Sprintf("%+v", c)} {
		if strings.Contains(text, "p@ss") || !strings.Contains(text, "rabbit.example") {
			t.Errorf("%q shows the password, or not the host", text)
		}
	}
}

func TestConfigFromEnv_emptyIsTheDefault(t *testing.T) {
	t.Parallel()
	c, err := rabbit.ConfigFromEnv(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.String(), "rabbitmq-stream://guest@localhost:5552// stream audit_logs_stream"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConfigFromEnv_namesEveryMistake(t *testing.T) {
	t.Parallel()
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		env  map[string]string
		want []string
	}{
		{
			"port, flags",
			map[string]string{"RABBITMQ_STREAM_PORT": "5552x", "RABBITMQ_STREAM_TLS": "yes", "RABBITMQ_STREAM_FIXED_ADDRESS": "maybe"},
			[]string{`RABBITMQ_STREAM_PORT: "5552x"`, `RABBITMQ_STREAM_TLS: "yes"`, `RABBITMQ_STREAM_FIXED_ADDRESS: "maybe"`},
		},
		{"port out of range", map[string]string{"RABBITMQ_STREAM_PORT": "70000"}, []string{`RABBITMQ_STREAM_PORT: "70000"`}},
		{"guest elsewhere", map[string]string{"RABBITMQ_STREAM_HOST": "rabbit.example"}, []string{"guest", `"rabbit.example"`}},
		{"guest elsewhere, one of several", map[string]string{"RABBITMQ_STREAM_HOST": "localhost,10.0.0.1"}, []string{"guest", `"10.0.0.1"`}},
		{"user without password", map[string]string{"RABBITMQ_STREAM_USER": "audit"}, []string{"Config.Password is empty"}},
		{"host with a port", map[string]string{"RABBITMQ_STREAM_HOST": "a/b"}, []string{`Config.Host is "a/b"`}},
		{"TLS files without TLS", map[string]string{"RABBITMQ_STREAM_CA_FILE": "x"}, []string{"RABBITMQ_STREAM_CA_FILE: is set, but RABBITMQ_STREAM_TLS is not"}},
		{
			"TLS files",
			map[string]string{"RABBITMQ_STREAM_TLS": "1", "RABBITMQ_STREAM_CA_FILE": garbage, "RABBITMQ_STREAM_CERT_FILE": garbage},
			[]string{"no certificate in PEM", "RABBITMQ_STREAM_KEY_FILE: is not set"},
		},
		{
			"TLS files missing",
			map[string]string{"RABBITMQ_STREAM_TLS": "1", "RABBITMQ_STREAM_CA_FILE": "/no/such", "RABBITMQ_STREAM_CERT_FILE": garbage, "RABBITMQ_STREAM_KEY_FILE": garbage},
			[]string{"RABBITMQ_STREAM_CA_FILE: open /no/such", "RABBITMQ_STREAM_CERT_FILE: tls:"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := rabbit.ConfigFromEnv(func(name string) string { return test.env[name] })
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	err := rabbit.Config{Heartbeat: time.Second, ConnectTimeout: -1, Stream: strings.Repeat("s", 256), Password: "p"}.Validate()
	for _, field := range []string{"Heartbeat", "ConnectTimeout", "Stream", "User"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "::1", "localhost, 127.0.0.5"} {
		if err := (rabbit.Config{Host: host}).Validate(); err != nil {
			t.Errorf("guest on %s: %v", host, err)
		}
	}
}

func TestConfigFromURI(t *testing.T) {
	t.Parallel()
	c, err := rabbit.ConfigFromURI("rabbitmq-stream+tls://us%40er:p%2Fw@rabbit.example:1234/%2fv")
	if err != nil {
		t.Fatal(err)
	}
	if c.User != "us@er" || c.Password != "p/w" || c.Host != "rabbit.example" || c.Port != 1234 || c.VHost != "/v" || c.TLS == nil {
		t.Errorf("got user %q, password %q, host %q, port %d, vhost %q, TLS %v", c.User, c.Password, c.Host, c.Port, c.VHost, c.TLS != nil)
	}
	for _, uri := range []string{"amqp://a:secret@h", "rabbitmq-stream://a:secret@h:port/", "rabbitmq-stream://a:sec%ret@h"} {
		if _, err := rabbit.ConfigFromURI(uri); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec%ret") {
			t.Errorf("%s: got %v, want an error without the password", uri, err)
		}
	}
}
