package viewer

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

//go:embed index.html assets
var files embed.FS

// policy is the Content Security Policy of the page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// page is what everybody gets.
type page struct {
	html asset
	tag  string
	// version is the hash of all assets. It is in their path, so that they can be kept for ever.
	version string
	assets  map[string]asset
}

type asset struct {
	data []byte
	// packed is data by gzip.
	packed []byte
	kind   string
}

func newAsset(data []byte, kind string) asset {
	return asset{data: data, packed: pack(data), kind: kind}
}

func pack(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// send answers with the data, packed for browsers that say they unpack it.
func (a asset) send(c *gin.Context) {
	c.Header("Vary", "Accept-Encoding")
	if strings.Contains(c.GetHeader("Accept-Encoding"), "gzip") {
		c.Header("Content-Encoding", "gzip")
		c.Data(http.StatusOK, a.kind, a.packed)
		return
	}
	c.Data(http.StatusOK, a.kind, a.data)
}

// The kinds are not left to the machine's table of them, which may be wrong.
var kinds = map[string]string{
	".css":  "text/css; charset=utf-8",
	".json": "application/json; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

func newPage(o Options) (page, error) {
	p := page{assets: map[string]asset{}}
	hash := sha256.New()
	err := fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(hash, "%s %d\n", name, len(data)) // a hash takes everything
		hash.Write(data)
		kind := kinds[path.Ext(name)]
		if kind == "" {
			kind = mime.TypeByExtension(path.Ext(name))
		}
		p.assets[path.Base(name)] = newAsset(data, kind)
		return nil
	})
	if err != nil {
		return page{}, fmt.Errorf("viewer: read assets: %w", err)
	}
	offered, err := p.languages(o, hash)
	if err != nil {
		return page{}, err
	}
	p.version = hex.EncodeToString(hash.Sum(nil)[:8])
	t, err := template.ParseFS(files, "index.html")
	if err != nil {
		return page{}, fmt.Errorf("viewer: parse page: %w", err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Title": o.Title, "Zone": o.Query.Location.String(), "SignInURL": o.SignInURL, "Language": o.Language, "Languages": offered, "Version": p.version, "Modules": p.modules()})
	if err != nil {
		return page{}, fmt.Errorf("viewer: make page: %w", err)
	}
	p.html = newAsset(b.Bytes(), "text/html; charset=utf-8")
	sum := sha256.Sum256(b.Bytes())
	p.tag = `"` + hex.EncodeToString(sum[:16]) + `"`
	return p, nil
}

// modules names all scripts, so that the browser gets them at once and not one after the other.
func (p page) modules() []string {
	var names []string
	for name := range p.assets {
		if path.Ext(name) == ".js" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func secure(header http.Header) {
	header.Set("Content-Security-Policy", policy)
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	header.Set("Referrer-Policy", "same-origin") // the address has filters in it
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
}

func (h *handler) servePage(c *gin.Context) {
	secure(c.Writer.Header())
	c.Header("Cache-Control", "no-cache")
	c.Header("ETag", h.page.tag)
	if strings.Contains(c.GetHeader("If-None-Match"), h.page.tag) {
		c.Status(http.StatusNotModified)
		return
	}
	h.page.html.send(c)
}

func (h *handler) serveAsset(c *gin.Context) {
	secure(c.Writer.Header())
	a, ok := h.page.assets[c.Param("name")]
	if !ok || c.Param("version") != h.page.version {
		c.Header("Cache-Control", "no-store")
		c.Data(http.StatusNotFound, "text/plain; charset=utf-8", []byte("no such file\n"))
		return
	}
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	a.send(c)
}
