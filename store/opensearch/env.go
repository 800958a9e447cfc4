package opensearch

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// ConfigFromEnv reads the variables OPENSEARCH_HOST (one host, or several with commas; default
// localhost), OPENSEARCH_PORT (9200), OPENSEARCH_USERNAME, OPENSEARCH_PASSWORD, OPENSEARCH_USE_SSL
// (false), OPENSEARCH_VERIFY_CERTS (true), OPENSEARCH_CA_FILE (certificate authorities to trust, in
// PEM), OPENSEARCH_COMPRESS (false) and OPENSEARCH_INDEX_PREFIX (audit-logs) through getenv, which is os.Getenv
// or one like it. For AWS see awssig.FromEnv.
//
// The error names every variable that is wrong, its value (but for the password) and what is
// allowed; it wraps ErrConfig.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	e := env{getenv: getenv}
	cfg := Config{
		Username:    getenv("OPENSEARCH_USERNAME"),
		Password:    getenv("OPENSEARCH_PASSWORD"),
		IndexPrefix: e.text("OPENSEARCH_INDEX_PREFIX", DefaultIndexPrefix),
		Compress:    e.boolean("OPENSEARCH_COMPRESS", false),
	}
	scheme := "http"
	ssl := e.boolean("OPENSEARCH_USE_SSL", false)
	if ssl {
		scheme = "https"
	}
	cfg.InsecureSkipVerify = !e.boolean("OPENSEARCH_VERIFY_CERTS", true) && ssl
	port := e.port("OPENSEARCH_PORT", 9200)
	for host := range strings.SplitSeq(e.text("OPENSEARCH_HOST", "localhost"), ",") {
		host = strings.TrimSpace(host)
		bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
		if bare == "" || strings.ContainsAny(bare, "/@?# \t") || strings.Contains(bare, ":") && net.ParseIP(bare) == nil {
			e.bad("OPENSEARCH_HOST", host, "a host name or IP address, without scheme and port")
			continue
		}
		cfg.Addresses = append(cfg.Addresses, scheme+"://"+net.JoinHostPort(bare, strconv.Itoa(port)))
	}
	if (cfg.Username == "") != (cfg.Password == "") {
		e.errs = append(e.errs, fmt.Errorf("%w: of OPENSEARCH_USERNAME and OPENSEARCH_PASSWORD one is empty, want both or none", ErrConfig))
	}
	if why := prefixFault(cfg.IndexPrefix); why != "" {
		e.errs = append(e.errs, fmt.Errorf("%w: OPENSEARCH_INDEX_PREFIX is %q: %s", ErrConfig, cfg.IndexPrefix, why))
	}
	if file := getenv("OPENSEARCH_CA_FILE"); file != "" {
		cfg.CACert = e.file("OPENSEARCH_CA_FILE", file)
		if !ssl {
			e.errs = append(e.errs, fmt.Errorf("%w: OPENSEARCH_CA_FILE is %q, but OPENSEARCH_USE_SSL is not true", ErrConfig, file))
		}
	}
	if len(e.errs) > 0 {
		return Config{}, errors.Join(e.errs...)
	}
	return cfg, nil
}

// env collects the mistakes of the variables it reads.
type env struct {
	getenv func(string) string
	errs   []error
}

func (e *env) bad(name, value, want string) {
	e.errs = append(e.errs, fmt.Errorf("%w: %s is %q, want %s", ErrConfig, name, value, want))
}

func (e *env) text(name, preset string) string {
	if v := strings.TrimSpace(e.getenv(name)); v != "" {
		return v
	}
	return preset
}

func (e *env) port(name string, preset int) int {
	v := e.text(name, strconv.Itoa(preset))
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > 65535 {
		e.bad(name, v, "a port, 1 to 65535")
		return preset
	}
	return n
}

func (e *env) boolean(name string, preset bool) bool {
	switch v := e.text(name, ""); strings.ToLower(v) {
	case "":
		return preset
	case "true", "1", "yes", "on":
		return true
	case "false", "0", "no", "off":
		return false
	default:
		e.bad(name, v, "true or false")
		return preset
	}
}

func (e *env) file(name, path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		e.bad(name, path, "a readable file: "+err.Error())
	}
	return data
}
