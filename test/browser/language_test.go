package browser

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gormtrail/audit/query/viewer"
)

func TestLanguage_vietnamese(t *testing.T) {
	t.Parallel()
	a := newApp(t, trail(time.Now()), func(o *viewer.Options) { o.Language = "vi" })
	tb := newTab(t, a.url)
	tb.allow("401")
	tb.open("/audit/")
	tb.wait("document.querySelector('#token')")
	if got := tb.texts("label, .card button"); !slices.Equal(got, []string{"Mã truy cập", "Đăng nhập"}) {
		t.Errorf("the sign-in says %q", got)
	}
	tb.signIn()
	tb.wait(counted)
	tb.picture("list")
	if got := tb.eval("document.documentElement.lang + ' ' + document.querySelector('.summary strong').innerText"); got != "vi 140 bản ghi" {
		t.Errorf("the page says %q", got)
	}
	tb.click("tr[data-id] a.open")
	tb.wait("document.querySelector('#record-title')")
	if got := tb.texts("#record-title")[0]; got != "Ann Lee đã thay đổi customer John Smith" {
		t.Errorf("the sentence is %q", got)
	}
	tb.open("/audit/?lang=en")
	tb.wait(counted)
	if got := tb.texts(".summary strong")[0]; got != "140 records" {
		t.Errorf("in English it says %q", got)
	}
	tb.click("tr[data-id] a.open")
	tb.wait("location.search.startsWith('?lang=en') && document.querySelector('#record-title')")
	tb.noViolations()
}

// A language of the application's own is a file.
func TestLanguage_ofAFile(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"pl.json": {Data: []byte(`{"@name": "Polski", "Who": "<b>Kto</b>", "{n} record|{n} records": "{n} rekord|{n} rekordy|{n} rekordów|{n} rekordu"}`)}}
	a := newApp(t, trail(time.Now()), func(o *viewer.Options) { o.Languages = files })
	tb := signedIn(t, a)
	if got := strings.Join(tb.texts("select.language option"), ","); got != "English,Polski,Tiếng Việt" {
		t.Errorf("the languages are %s", got)
	}
	tb.run(script(`(() => { const s = document.querySelector("select.language"); s.value = "pl"; s.dispatchEvent(new Event("change")); })()`))
	tb.wait("document.documentElement.lang === 'pl' && " + counted)
	if got := tb.texts(".summary strong")[0]; got != "140 rekordów" {
		t.Errorf("140 records are %q", got)
	}
	if got := tb.texts("thead th"); got[1] != "<b>Kto</b>" || got[2] != "Action" {
		t.Errorf("the columns are %q", got)
	}
	tb.noViolations()
}
