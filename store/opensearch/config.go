package opensearch

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultAddress      = "http://localhost:9200"
	DefaultIndexPrefix  = "audit-logs"
	DefaultMaxBulkBytes = 5 << 20
	DefaultBulkTimeout  = 90 * time.Second
	DefaultTimeout      = 20 * time.Second
)

// Config says where the server is and how to speak to it. The zero Config is a server without
// security on this host.
type Config struct {
	// Addresses are the nodes, such as "https://search.example.org:9200"; requests go to them in turn.
	//
	// Defaults to DefaultAddress.
	Addresses []string
	// Username and Password are for HTTP basic authentication; both or none.
	Username, Password string
	// CACert has the certificate authorities to trust, in PEM, instead of those of the system.
	CACert []byte
	// InsecureSkipVerify takes any certificate: whoever stands between can read and change everything.
	InsecureSkipVerify bool
	// IndexPrefix begins the name of every index, and is the alias of them all.
	//
	// Defaults to DefaultIndexPrefix.
	IndexPrefix string
	// MaxBulkBytes bounds the body of one bulk request; larger writes go in several. The server's own
	// limit, http.max_content_length, is 100 MiB.
	//
	// Defaults to DefaultMaxBulkBytes, 5 MiB.
	MaxBulkBytes int
	// Compress sends bulk requests compressed with gzip: about a fifth of the bytes, for some 6 µs of
	// processor for each record. It pays where the line is narrow or traffic costs; on a local network it
	// does not.
	Compress bool
	// BulkTimeout bounds one bulk request and one that makes, changes or removes an index, Timeout any other.
	//
	// Default to DefaultBulkTimeout, 90 s, and DefaultTimeout, 20 s.
	BulkTimeout, Timeout time.Duration
	// Transport replaces the HTTP transport, for instance by one that signs requests. CACert and
	// InsecureSkipVerify are then its own business.
	Transport http.RoundTripper
	// Signer signs each request, instead of Username and Password.
	Signer Signer
	// Logger takes what an operator should know. Defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if len(c.Addresses) == 0 {
		c.Addresses = []string{DefaultAddress}
	}
	if c.IndexPrefix == "" {
		c.IndexPrefix = DefaultIndexPrefix
	}
	if c.MaxBulkBytes == 0 {
		c.MaxBulkBytes = DefaultMaxBulkBytes
	}
	if c.BulkTimeout == 0 {
		c.BulkTimeout = DefaultBulkTimeout
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	for _, address := range c.Addresses {
		u, err := url.Parse(address)
		switch {
		case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
			bad("Config.Addresses has %q, want http://host:port or https://host:port", redact(address))
		case u.User != nil:
			bad("Config.Addresses has %q with credentials, want them in Username and Password", redact(address))
		}
	}
	if (c.Username == "") != (c.Password == "") {
		bad("Config.Username and Password: one is empty, want both or none")
	}
	if c.Signer != nil && c.Username != "" {
		bad("Config.Signer and Config.Username are both set, want one of them")
	}
	if why := prefixFault(c.IndexPrefix); why != "" {
		bad("Config.IndexPrefix is %q: %s", c.IndexPrefix, why)
	}
	if len(c.CACert) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.CACert) {
		bad("Config.CACert has no certificate in PEM")
	}
	if c.MaxBulkBytes < 0 {
		bad("Config.MaxBulkBytes is %d, want 0 (default) or more", c.MaxBulkBytes)
	}
	if c.BulkTimeout < 0 {
		bad("Config.BulkTimeout is %s, want 0 (default) or more", c.BulkTimeout)
	}
	if c.Timeout < 0 {
		bad("Config.Timeout is %s, want 0 (default) or more", c.Timeout)
	}
	return errors.Join(errs...)
}

// redact takes the password out of an address for an error text.
func redact(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return "…" + address[i:]
	}
	return address
}

// prefixFault says what is wrong with an index prefix, "" if nothing is. The rules are the server's
// for index names.
func prefixFault(prefix string) string {
	switch {
	case prefix == "":
		return "want a name"
	case len(prefix) > 200:
		return "want at most 200 bytes"
	case strings.ToLower(prefix) != prefix:
		return "want lower case"
	case strings.ContainsAny(prefix, "\\/*?\"<>| ,#:\t\r\n"):
		return `want none of \ / * ? " < > | , # : and spaces`
	case strings.ContainsAny(prefix[:1], "-_+."):
		return "want a first character other than - _ + ."
	}
	return ""
}

// Signer signs requests, for servers that want that instead of a password; package awssig has one. It may
// be called concurrently.
type Signer interface {
	// SignRequest adds to the header of req. It may read the body, and puts it back.
	SignRequest(req *http.Request) error
	// OverrideSigningPort says which port is signed, where that is not the one of the address.
	OverrideSigningPort(port uint16)
}
