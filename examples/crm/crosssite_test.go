package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// A form of another site can send a text that is JSON. It must not sign anybody in.
func TestCRM_loginFromAnotherSite_isRefused(t *testing.T) {
	t.Parallel()
	p := start(t, nil, "-data", filepath.Join(t.TempDir(), "data"))
	for site, want := range map[string]int{"cross-site": http.StatusForbidden, "same-site": http.StatusForbidden, "same-origin": http.StatusOK, "": http.StatusOK} {
		r, err := http.NewRequest(http.MethodPost, p.base+"/login", strings.NewReader(`{"username":"bob","password":"bob"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/plain")
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want || (len(response.Cookies()) > 0) != (want == http.StatusOK) {
			t.Errorf("Sec-Fetch-Site %q: %s with %d cookies, want %d", site, response.Status, len(response.Cookies()), want)
		}
	}
	p.stop()
}
