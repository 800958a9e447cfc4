package query

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
)

// whole gives a record as it is on the wire, with extra nested, without what the grant hides. It is what
// exports and streams show: nothing else of the record is lost.
func whole(r event.Record, grant Grant) (json.RawMessage, error) {
	redact(&r, grant)
	if len(grant.Hidden) == 0 {
		data, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("query: encode record: %w", err)
		}
		return data, nil
	}
	o, err := visible(&r, grant)
	if err != nil {
		return nil, err
	}
	return o.MarshalJSON()
}

// visible gives the members of r, which is redacted, that the grant shows. Unknown members of later versions
// are hidden by the name that they have, with or without "extra." before it.
func visible(r *event.Record, grant Grant) (object, error) {
	if grant.hides("extra") {
		r.Extra = nil
	} else if hiddenInExtra(grant) {
		extra := make(map[string]any, len(r.Extra))
		for name, v := range r.Extra {
			if !grant.hides(hiddenExtra + name) {
				extra[name] = v
			}
		}
		r.Extra = extra
	}
	data, err := json.Marshal(*r)
	if err != nil {
		return nil, fmt.Errorf("query: encode record: %w", err)
	}
	o, err := readObject(data)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(o, func(m member) bool {
		return grant.hides(m.name) || !event.Reserved(m.name) && grant.hides(hiddenExtra+m.name)
	}), nil
}

func hiddenInExtra(grant Grant) bool {
	return slices.ContainsFunc(grant.Hidden, func(name string) bool { return strings.HasPrefix(name, hiddenExtra) })
}
