package rabbit_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/stream/rabbit"
)

// TestPassword_isNowhere: neither a printed configuration nor an error has the password.
func TestPassword_isNowhere(t *testing.T) {
	t.Parallel()
	const password = "canary-7f3a@:/ü"
	config := rabbittest.Config(t)
	config.Password = password
	closed := config
	closed.Port = 1
	guest := config
	guest.Host, guest.User, guest.Stream = "broker.example", "", strings.Repeat("s", 300)
	said := map[string]string{"printed": fmt.Sprintf("%v %+v %#v %s %v", config, config, config, config, []any{config, &config})}
	for name, c := range map[string]rabbit.Config{"wrong password": config, "nobody there": closed, "invalid": guest} {
		for what, call := range map[string]func() error{
			"publisher": func() error { _, err := rabbit.NewPublisher(t.Context(), c, "name"); return err },
			"declare":   func() error { return rabbit.Declare(t.Context(), c, rabbit.Limits{}) },
		} {
			err := call()
			if err == nil {
				t.Errorf("%s, %s: no error", name, what)
				continue
			}
			said[name+", "+what] = fmt.Sprintf("%v %+v %#v", err, err, err)
		}
	}
	for _, uri := range []string{"rabbitmq-stream://u:" + url.QueryEscape(password) + "@h:port/", "http://u:" + url.QueryEscape(password) + "@h/", "://u:canary-7f3a@h"} {
		_, err := rabbit.ConfigFromURI(uri)
		said[uri] = fmt.Sprint(err)
	}
	for where, text := range said {
		if strings.Contains(text, "canary") {
			t.Errorf("%s: %s", where, text)
		}
	}
}
