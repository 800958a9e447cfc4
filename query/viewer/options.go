package viewer

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"time"

	"github.com/gormtrail/audit/query"
)

// Options configures Mount. Query is required.
type Options struct {
	// Query says where the records are and who may see them; see query.Options. Its Location is the
	// zone in which the page shows times.
	Query query.Options
	// Title is the heading of the page.
	//
	// Defaults to "Audit trail".
	Title string
	// Language is the language of the page for readers who have not chosen one: "en", "vi", or one of
	// Languages.
	//
	// Defaults to that of the reader's browser, if there is it, else English.
	Language string
	// Languages has more languages, or other words for the built-in ones: a file for each, named by its
	// BCP 47 tag, such as de.json. It is a JSON object from each English text to the one in the language;
	// texts that it lacks are shown in English, and "@name" is the name of the language. A text with | has
	// one form for each plural category of the language, in the order zero, one, two, few, many, other. The
	// file of Vietnamese, query/viewer/assets/lang-vi.json, has all texts.
	//
	// Defaults to none but English and Vietnamese.
	Languages fs.FS
	// SignInURL is where people sign in, if the Authorizer knows them by something else than a Bearer
	// token. The page then links to it instead of asking for a token. It is absolute, or begins with "/".
	//
	// Defaults to none.
	SignInURL string
	// SessionKey encrypts the sessions. Give all instances behind one address the same key, of 32
	// random bytes, else people must sign in again with each other instance and after a restart.
	//
	// Defaults to a random key, which is logged at level Info (that it is random, not the key).
	SessionKey []byte
	// SessionTTL is how long a session lasts.
	//
	// Defaults to 8 hours.
	SessionTTL time.Duration
}

const minSessionKey = 32

func (o Options) withDefaults() Options {
	if o.Title == "" {
		o.Title = "Audit trail"
	}
	if o.SessionTTL == 0 {
		o.SessionTTL = 8 * time.Hour
	}
	if o.Query.Logger == nil {
		o.Query.Logger = slog.Default()
	}
	if o.Query.Clock == nil {
		o.Query.Clock = time.Now
	}
	if o.Query.Location == nil {
		o.Query.Location = time.UTC
	}
	if o.Query.ProblemBase == "" {
		o.Query.ProblemBase = query.DefaultProblemBase
	}
	return o
}

func (o Options) validate() error {
	errs := []error{o.Query.Validate()}
	if n := len(o.SessionKey); n > 0 && n < minSessionKey {
		errs = append(errs, fmt.Errorf("%w: viewer Options.SessionKey has %d bytes, want none (a random key) or %d or more", query.ErrOptions, n, minSessionKey))
	}
	if o.SessionTTL < 0 {
		errs = append(errs, fmt.Errorf("%w: viewer Options.SessionTTL is %v, want 0 (default) or more", query.ErrOptions, o.SessionTTL))
	}
	if !linkable(o.SignInURL) {
		errs = append(errs, fmt.Errorf("%w: viewer Options.SignInURL is %q, want an http(s) URL or a path that begins with /", query.ErrOptions, o.SignInURL))
	}
	return errors.Join(errs...)
}

func linkable(ref string) bool {
	if ref == "" {
		return true
	}
	u, err := url.Parse(ref)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "" && ref[0] == '/')
}
