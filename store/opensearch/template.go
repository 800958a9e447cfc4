package opensearch

import (
	_ "embed"
	"encoding/json"
)

// SchemaVersion is the version of the index template and of the mapping.
const SchemaVersion = 1

// owner marks what this package has made on the server.
const owner = "github.com/gormtrail/audit"

// schemaJSON has the settings and the mapping of an index. What is in it, and why:
//
//   - "dynamic": false: a field that is not known stays in the source and is not indexed. "strict"
//     would refuse the record of a newer producer, true would give conflicts of types.
//   - change_message, changes and extra are not indexed: they hold anything. What is searched of them
//     is in search_text, chg and extra_kv, which are derived from the record; see derived.
//   - ignore_above at every keyword: a value of more than 32,766 bytes would refuse the record.
//   - the source is kept whole, with the derived fields: leaving fields out makes the server write the
//     rest anew, and then 1.50 comes back as 1.5 and 1e3 as 1000.0. A record must come back byte for
//     byte, or its hash is worth nothing.
//   - sorted by time: the page of the newest needs no sorting.
//
//go:embed schema.json
var schemaJSON []byte

// schema is schemaJSON.
type schema struct {
	Settings json.RawMessage `json:"settings"`
	Mappings json.RawMessage `json:"mappings"`
}

func readSchema() (s schema) {
	// schemaJSON is part of the program, and a test reads it.
	_ = json.Unmarshal(schemaJSON, &s)
	return s
}

// indexBody is the body that creates an index, with all that the template has: the same index comes
// out whether there is a template or not.
func (n names) indexBody() map[string]any {
	s := readSchema()
	return map[string]any{
		"settings": s.Settings,
		"mappings": s.Mappings,
		"aliases":  map[string]any{n.alias(): struct{}{}},
	}
}

// templateBody is the body of the index template.
func (n names) templateBody(version int) map[string]any {
	return map[string]any{
		"index_patterns": n.patterns(),
		"priority":       500,
		"version":        version,
		"template":       n.indexBody(),
		"_meta":          map[string]any{"owner": owner},
	}
}

// mappingUpdate is the part of the mapping that may be put on an existing index: its fields and its
// version. A field that exists can only be given as it is.
func mappingUpdate(version int) map[string]any {
	var m struct {
		Properties json.RawMessage `json:"properties"`
	}
	_ = json.Unmarshal(readSchema().Mappings, &m)
	return map[string]any{
		"properties": m.Properties,
		"_meta":      map[string]any{"schema_version": version, "owner": owner},
	}
}
