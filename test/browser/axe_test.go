package browser

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/gormtrail/audit/internal/testservers"
)

// axe gives axe-core from the package that scripts/services.sh install axe gets.
var axe = sync.OnceValues(func() (source string, err error) {
	name := os.Getenv("AXE")
	if name == "" {
		return "", errors.New("axe-core is not installed: scripts/services.sh install axe, and set AXE as scripts/services.sh env says")
	}
	wheel, err := zip.OpenReader(name)
	if err != nil {
		return "", fmt.Errorf("axe-core: %w (scripts/services.sh install axe gets it)", err)
	}
	defer func() { err = errors.Join(err, wheel.Close()) }()
	i := slices.IndexFunc(wheel.File, func(f *zip.File) bool { return path.Base(f.Name) == "axe.min.js" })
	if i < 0 {
		return "", fmt.Errorf("axe-core: %s has no axe.min.js", name)
	}
	f, err := wheel.File[i].Open()
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(f)
	return string(data), err
})

// violation is what axe-core says about a page.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML string }
}

// TestAccessibility_axeFindsNothingSerious: neither the list, nor any other view, light and dark, wide and
// on a phone.
func TestAccessibility_axeFindsNothingSerious(t *testing.T) {
	t.Parallel()
	source, err := axe()
	testservers.Need(t, err)
	now := time.Now()
	a := newApp(t, slices.Concat(trail(now), family(now), batchRecords(now)))
	tb := newTab(t, a.url)
	tb.allow("401")
	check := func(name string) {
		t.Helper()
		// The DevTools protocol runs it in the page; the page's own policy has no say in that.
		tb.run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
			_, err := chromedp.Evaluate[any]("typeof axe === 'undefined' && (0, function () {"+source+"\n}).call(window), null")(ctx, target)
			return err
		}))
		tb.run(script("window.found = undefined, document.getAnimations().forEach((a) => a.finish?.()), axe.run(document, { resultTypes: ['violations'] }).then((r) => { window.found = r; }, (e) => { window.found = { error: String(e) }; })"))
		tb.wait("window.found")
		var found struct {
			Error      string
			Violations []violation
			Passes     []struct{ ID string }
		}
		if err := json.Unmarshal([]byte(tb.eval("JSON.stringify(window.found)")), &found); err != nil || found.Error != "" || len(found.Passes) < 10 {
			t.Fatalf("%s: axe-core did not run: %v %s, %d rules passed", name, err, found.Error, len(found.Passes))
		}
		for _, v := range found.Violations {
			if v.Impact == "serious" || v.Impact == "critical" {
				t.Errorf("%s: %s %s: %s: %v", name, v.Impact, v.ID, v.Help, v.Nodes)
			} else {
				t.Logf("%s: %s %s: %s: %v", name, v.Impact, v.ID, v.Help, v.Nodes)
			}
		}
	}
	tb.open("/audit/")
	tb.wait("document.querySelector('#token')")
	check("sign-in")
	tb.signIn()
	for _, dark := range []bool{false, true} {
		for _, size := range [][2]int64{{1280, 860}, {390, 844}} {
			if dark {
				tb.dark()
			}
			tb.size(size[0], size[1])
			for _, view := range []struct{ name, query, wait string }{
				{"list", "", counted},
				{"filtered", "?action=CHANGE&not_user_id=7&live=1", "document.querySelector('.live')?.dataset.state === 'on'"},
				{"detail", "?record=" + richRecord, "document.querySelector('#record-title')"},
				{"object", "?view=object&object_type=employee&object_id=5", "document.querySelector('#page .events')"},
				{"batch", "?view=batch&batch_id=import-7", "document.querySelector('#page .records')"},
				{"empty", "?user_id=nobody", "document.querySelector('.state')"},
			} {
				tb.open("/audit/" + view.query)
				tb.wait(view.wait + " && " + quiet + " && !document.querySelector('#page[aria-busy]')")
				check(fmt.Sprintf("%s, dark %v, %d wide", view.name, dark, size[0]))
			}
		}
	}
	tb.size(1280, 860)
	tb.open("/audit/")
	tb.wait(counted)
	tb.key("e")
	check("export")
	tb.key("?")
	check("help")
}
