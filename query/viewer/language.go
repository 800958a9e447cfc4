package viewer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/gormtrail/audit/query"
)

const (
	languagePrefix = "lang-"
	// languageName is the member of a file that has the name of its language.
	languageName = "@name"
	// maxLanguage is the largest size of a file in bytes.
	maxLanguage = 256 << 10
)

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$`)

// languages takes the files of o.Languages to the assets, and gives the lines "tag=name" of all that there
// are. The files are part of the hash.
func (p *page) languages(o Options, hash io.Writer) (string, error) {
	names := map[string]string{"en": "English"}
	for name, a := range p.assets {
		if tag, ok := strings.CutPrefix(strings.TrimSuffix(name, ".json"), languagePrefix); ok {
			texts, err := readLanguage(a.data)
			if err != nil {
				return "", fmt.Errorf("viewer: %s: %w", name, err)
			}
			names[tag] = texts[languageName]
		}
	}
	if o.Languages != nil {
		files, err := fs.Glob(o.Languages, "*.json")
		if err != nil {
			return "", fmt.Errorf("%w: viewer Options.Languages: %w", query.ErrOptions, err)
		}
		for _, file := range files {
			tag := strings.TrimSuffix(path.Base(file), ".json")
			data, name, err := openLanguage(o.Languages, file)
			if err != nil {
				return "", fmt.Errorf("%w: viewer Options.Languages: %s: %w", query.ErrOptions, file, err)
			}
			_, _ = fmt.Fprintf(hash, "%s %d\n%s", file, len(data), data) // a hash takes everything
			p.assets[languagePrefix+tag+".json"] = newAsset(data, kinds[".json"])
			names[tag] = name
		}
	}
	if _, ok := names[o.Language]; !ok && o.Language != "" {
		return "", fmt.Errorf("%w: viewer Options.Language is %q, want one of %s", query.ErrOptions, o.Language, strings.Join(sorted(names), ", "))
	}
	var lines []string
	for _, tag := range sorted(names) {
		lines = append(lines, tag+"="+names[tag])
	}
	return strings.Join(lines, "\n"), nil
}

func sorted(names map[string]string) []string {
	tags := make([]string, 0, len(names))
	for tag := range names {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags
}

// openLanguage reads a file of the application's own.
func openLanguage(files fs.FS, file string) (data []byte, name string, err error) {
	tag := strings.TrimSuffix(path.Base(file), ".json")
	if !languageTag.MatchString(tag) {
		return nil, "", errors.New("the name is no language tag, want one such as de.json or pt-BR.json")
	}
	if data, err = fs.ReadFile(files, file); err != nil {
		return nil, "", err
	}
	if len(data) > maxLanguage {
		return nil, "", fmt.Errorf("the file has %d bytes, want at most %d", len(data), maxLanguage)
	}
	texts, err := readLanguage(data)
	if err != nil {
		return nil, "", err
	}
	if name = texts[languageName]; name == "" || strings.ContainsAny(name, "\n=") {
		name = tag
	}
	return data, name, nil
}

func readLanguage(data []byte) (map[string]string, error) {
	var texts map[string]string
	if err := json.Unmarshal(data, &texts); err != nil {
		return nil, fmt.Errorf("want a JSON object from texts to texts: %w", err)
	}
	return texts, nil
}
