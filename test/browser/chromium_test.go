package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/internal/testservers"
)

// allocator starts one Chromium for all tests of the package.
var allocator = sync.OnceValues(func() (context.Context, error) {
	path, err := findChromium()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "audit-chromium-")
	if err != nil {
		return nil, err
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.WSURLReadTimeout(time.Minute))...)
	browser, cancelBrowser := chromedp.NewContext(ctx)
	stop = func() {
		_ = chromedp.Cancel(browser) // waits for the browser to end
		cancelBrowser()
		cancel()
		_ = os.RemoveAll(profile) // in the temporary folder; best effort
	}
	return browser, chromedp.Do(browser)
})

var stop = func() {}

func findChromium() (string, error) {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if name == "" {
			continue
		}
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("chromium is not installed (apt-get install chromium), and $CHROMIUM names none")
}

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	code := m.Run()
	stop()
	os.Exit(code)
}

// tab is one page in a browser context of its own: without cookies of the others.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in it
	url string

	mu sync.Mutex
	// trouble is everything that a page without fault does not do.
	trouble []string
	allowed []string
}

// newTab opens a tab for the application at base. When the test ends it fails for script errors, for
// violations of the Content Security Policy, for dialogs, and for requests to other places.
func newTab(t *testing.T, base string) *tab {
	t.Helper()
	browser, err := allocator()
	testservers.Need(t, err)
	tb := &tab{t: t, url: base}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(tb.watch))
	if err := chromedp.Do(ctx); err != nil { // the first one must not have a time-out
		t.Fatal(err)
	}
	var cancelTime context.CancelFunc
	tb.ctx, cancelTime = context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(func() {
		cancelTime()
		cancel()
		tb.mu.Lock()
		defer tb.mu.Unlock()
		for _, what := range tb.trouble {
			t.Error(what)
		}
	})
	tb.run(call(cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: `window.violations = [];
			document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective + " " + e.blockedURI + " " + e.sample));`}),
		chromedp.EmulateViewport(1280, 860))
	return tb
}

// call is a command of the DevTools protocol as a step.
func call[P, R any](command cdp.Command[P, R], params P) step {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, command, params)
		return chromedp.Void{}, err
	}
}

// script runs a script in the page.
func script(source string) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[any]("void ("+source+")")(ctx, t)
		return err
	})
}

type step = chromedp.Action[chromedp.Void]

// allow says that trouble with this text is what the test is about.
func (tb *tab) allow(text string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.allowed = append(tb.allowed, text)
}

func (tb *tab) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	tb.mu.Lock()
	defer tb.mu.Unlock()
	if !slices.ContainsFunc(tb.allowed, func(a string) bool { return strings.Contains(text, a) }) {
		tb.trouble = append(tb.trouble, text)
	}
}

func (tb *tab) watch(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		what := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			what += " " + e.ExceptionDetails.Exception.Description
		}
		tb.note("a script failed: %s at %s:%d", what, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber+1)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			tb.note("the console says: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case *cdppage.EventJavascriptDialogOpening:
		tb.note("a script opened a dialog: %s", e.Message)
		go func() {
			_ = chromedp.Do(tb.ctx, call(cdppage.HandleJavaScriptDialog, cdppage.HandleJavaScriptDialogParams{Accept: true}))
		}()
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil && !strings.HasPrefix(e.Request.URL, tb.url) && u.Scheme != "data" && u.Scheme != "chrome-error" {
			tb.note("a request to another place: %s", e.Request.URL)
		}
		if strings.Contains(e.Request.URL, token) {
			tb.note("the token is in a URL: %s", e.Request.URL)
		}
	}
}

func (tb *tab) run(actions ...step) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.picture("failed")
		tb.t.Fatalf("%v\nat %s\n%s", err, tb.location(), tb.eval("document.body ? document.body.innerText : ''"))
	}
}

func (tb *tab) open(path string) {
	tb.t.Helper()
	tb.run(chromedp.Navigate(tb.url + path))
}

func (tb *tab) location() (at string) {
	at, _ = chromedp.Run(tb.ctx, chromedp.Location()) // "" where it cannot be known
	return at
}

// wait waits until the expression is true.
func (tb *tab) wait(expression string) {
	tb.t.Helper()
	poll := func() error {
		_, err := chromedp.Run(tb.ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingTimeout(time.Minute)))
		return err
	}
	err := poll()
	for err != nil && (strings.Contains(err.Error(), "navigated or closed") || strings.Contains(err.Error(), "Cannot find context")) && tb.ctx.Err() == nil {
		err = poll() // the page has been replaced meanwhile
	}
	if err != nil {
		tb.picture("failed")
		tb.t.Fatalf("%s never holds: %v\nat %s\n%v", expression, err, tb.location(), tb.eval("document.body.innerText"))
	}
}

// eval gives the value of the expression as text.
func (tb *tab) eval(expression string) string {
	v, err := chromedp.Run(tb.ctx, chromedp.Evaluate[string]("String("+expression+")"))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return v
}

// texts gives the visible texts of all elements that match.
func (tb *tab) texts(selector string) []string {
	tb.t.Helper()
	out, err := chromedp.Run(tb.ctx, chromedp.Evaluate[[]string](fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.innerText.replace(/\\s+/g, ' ').trim())", selector)))
	if err != nil {
		tb.t.Fatal(err)
	}
	return out
}

func (tb *tab) click(selector string) {
	tb.t.Helper()
	tb.run(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

func (tb *tab) typeInto(selector, text string) {
	tb.t.Helper()
	tb.run(chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (tb *tab) key(keys string) {
	tb.t.Helper()
	tb.run(chromedp.KeyEvent(keys))
}

func (tb *tab) signIn() {
	tb.t.Helper()
	tb.open("/audit/")
	tb.typeInto("#token", token)
	tb.click(".card button.primary")
	tb.wait("document.querySelector('#results tr[data-id], #results .state') && !document.querySelector('.histogram[aria-busy], .facets[aria-busy]')")
}

// signedIn opens a tab in which the token was given; before that the application answers 401.
func signedIn(t *testing.T, a *app) *tab {
	t.Helper()
	tb := newTab(t, a.url)
	tb.allow("401")
	tb.signIn()
	return tb
}

func (tb *tab) size(width, height int64) {
	tb.t.Helper()
	tb.run(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(1)))
}

func (tb *tab) dark() {
	tb.t.Helper()
	tb.run(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}}))
}

// noViolations fails the test if the Content Security Policy had to stop something.
func (tb *tab) noViolations() {
	tb.t.Helper()
	if got := tb.eval("window.violations.join('; ')"); got != "" {
		tb.t.Errorf("the Content Security Policy had to stop: %s", got)
	}
}

// picture keeps a screenshot in $AUDIT_SCREENSHOTS, if it is set.
func (tb *tab) picture(name string) {
	dir := os.Getenv("AUDIT_SCREENSHOTS")
	if dir == "" {
		return
	}
	_ = chromedp.Do(tb.ctx, script("document.getAnimations().forEach((a) => a.effect.getTiming().iterations === 1 && a.finish())"))
	png, err := chromedp.Run(tb.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		tb.t.Logf("no picture: %v", err)
		return
	}
	file := filepath.Join(dir, strings.ReplaceAll(tb.t.Name(), "/", "_")+"-"+name+".png")
	if err := os.WriteFile(file, png, 0o600); err != nil {
		tb.t.Log(err)
	}
}
