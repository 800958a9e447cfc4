package rabbit

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// The environment variables that ConfigFromEnv reads. The first six are the specification's.
const (
	EnvHost     = "RABBITMQ_STREAM_HOST"
	EnvPort     = "RABBITMQ_STREAM_PORT"
	EnvUser     = "RABBITMQ_STREAM_USER"
	EnvPassword = "RABBITMQ_STREAM_PASSWORD"
	EnvVHost    = "RABBITMQ_STREAM_VHOST"
	EnvName     = "RABBITMQ_STREAM_NAME"

	EnvTLS          = "RABBITMQ_STREAM_TLS"           // true: encrypt
	EnvCAFile       = "RABBITMQ_STREAM_CA_FILE"       // PEM; default the machine's certificates
	EnvCertFile     = "RABBITMQ_STREAM_CERT_FILE"     // PEM; client certificate
	EnvKeyFile      = "RABBITMQ_STREAM_KEY_FILE"      // PEM; key of the client certificate
	EnvServerName   = "RABBITMQ_STREAM_SERVER_NAME"   // name in the server's certificate; default the host
	EnvFixedAddress = "RABBITMQ_STREAM_FIXED_ADDRESS" // true: Config.FixedAddress
	EnvPartitions   = "RABBITMQ_STREAM_PARTITIONS"    // number of partitions of a super stream
)

// ConfigFromEnv gives the Config that the environment describes; getenv is os.Getenv or like it. All
// wrong values are named in one error. Variables that are not set leave the defaults.
func ConfigFromEnv(getenv func(string) string) (Config, error) {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, fmt.Errorf("rabbit: %s: "+format, append([]any{name}, args...)...))
	}
	flag := func(name string) bool {
		value := getenv(name)
		if value == "" {
			return false
		}
		b, err := strconv.ParseBool(value)
		if err != nil {
			bad(name, "%q is not true or false", value)
		}
		return b
	}
	c := Config{
		Host: getenv(EnvHost), User: getenv(EnvUser), Password: getenv(EnvPassword),
		VHost: getenv(EnvVHost), Stream: getenv(EnvName), FixedAddress: flag(EnvFixedAddress),
	}
	if value := getenv(EnvPort); value != "" {
		port, err := strconv.Atoi(value)
		if err != nil || port < 1 || port > 65535 {
			bad(EnvPort, "%q is not a port, want 1 to 65535", value)
		} else {
			c.Port = port
		}
	}
	if value := getenv(EnvPartitions); value != "" {
		partitions, err := strconv.Atoi(value)
		if err != nil || partitions < 0 || partitions > 255 {
			bad(EnvPartitions, "%q is no number of partitions, want 0 (no super stream) or 1 to 255", value)
		} else {
			c.Partitions = partitions
		}
	}
	if flag(EnvTLS) {
		c.TLS = tlsFromEnv(getenv, bad)
	} else {
		for _, name := range []string{EnvCAFile, EnvCertFile, EnvKeyFile, EnvServerName} {
			if getenv(name) != "" {
				bad(name, "is set, but %s is not true", EnvTLS)
			}
		}
	}
	if err := c.Validate(); err != nil {
		errs = append(errs, err)
	}
	return c, errors.Join(errs...)
}

func tlsFromEnv(getenv func(string) string, bad func(name, format string, args ...any)) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: getenv(EnvServerName)}
	if file := getenv(EnvCAFile); file != "" {
		pem, err := os.ReadFile(file)
		pool := x509.NewCertPool()
		switch {
		case err != nil:
			bad(EnvCAFile, "%w", err)
		case !pool.AppendCertsFromPEM(pem):
			bad(EnvCAFile, "%s has no certificate in PEM", file)
		default:
			c.RootCAs = pool
		}
	}
	cert, key := getenv(EnvCertFile), getenv(EnvKeyFile)
	switch {
	case cert == "" && key == "":
	case cert == "":
		bad(EnvCertFile, "is not set, but %s is", EnvKeyFile)
	case key == "":
		bad(EnvKeyFile, "is not set, but %s is", EnvCertFile)
	default:
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			bad(EnvCertFile, "%w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// ConfigFromURI gives the Config of a URI such as rabbitmq-stream://user:password@host:5552/%2f. The
// scheme rabbitmq-stream+tls switches TLS on, with the machine's certificates.
func ConfigFromURI(uri string) (Config, error) {
	u, err := url.Parse(uri)
	if err != nil {
		// The error of url.Parse holds the URI, and with it the password.
		return Config{}, errors.New("rabbit: the URI cannot be parsed, want rabbitmq-stream://user:password@host:port/vhost")
	}
	c := Config{Host: u.Hostname(), User: u.User.Username()}
	c.Password, _ = u.User.Password()
	switch u.Scheme {
	case "rabbitmq-stream":
	case "rabbitmq-stream+tls":
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return Config{}, fmt.Errorf("rabbit: the URI has the scheme %q, want rabbitmq-stream or rabbitmq-stream+tls", u.Scheme)
	}
	if port := u.Port(); port != "" {
		if c.Port, err = strconv.Atoi(port); err != nil {
			return Config{}, fmt.Errorf("rabbit: the URI has the port %q", port)
		}
	}
	if c.VHost, err = url.PathUnescape(strings.TrimPrefix(u.EscapedPath(), "/")); err != nil {
		return Config{}, fmt.Errorf("rabbit: the URI has the path %q", u.EscapedPath())
	}
	return c, c.Validate()
}
