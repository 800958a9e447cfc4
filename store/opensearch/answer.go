package opensearch

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// itemAnswer is what the server says about one document.
type itemAnswer struct {
	Status int         `json:"status"`
	Error  *errorCause `json:"error"`
}

// parseBulk reads the answer to a bulk of n items, into the space of dst. An answer that does not have
// exactly one status for each is no answer: nothing is known.
func parseBulk(dst []itemAnswer, answer []byte, n int) ([]itemAnswer, error) {
	if answers, ok := parseGood(dst[:0], answer, n); ok {
		return answers, nil
	}
	var v struct {
		Items []map[string]itemAnswer `json:"items"`
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return nil, fmt.Errorf("opensearch: bulk answer is no JSON of the server: %w", err)
	}
	if len(v.Items) != n {
		return nil, fmt.Errorf("opensearch: bulk answer has %d items for %d documents", len(v.Items), n)
	}
	dst = dst[:0]
	for i, it := range v.Items {
		a, ok := it["create"]
		if !ok || a.Status == 0 {
			return nil, fmt.Errorf("opensearch: bulk answer has no status for document %d", i)
		}
		dst = append(dst, a)
	}
	return dst, nil
}

// parseGood reads the answer in which all went well, byte for byte as servers write it; ok is false for
// any other.
func parseGood(dst []itemAnswer, answer []byte, n int) (_ []itemAnswer, ok bool) {
	rest, ok := bytes.CutPrefix(answer, []byte(`{"took":`))
	if !ok {
		return dst, false
	}
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		rest = rest[1:]
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"errors":false,"items":[`)); !ok {
		return dst, false
	}
	for i := range n {
		if i > 0 {
			if rest, ok = bytes.CutPrefix(rest, []byte(",")); !ok {
				return dst, false
			}
		}
		if rest, ok = bytes.CutPrefix(rest, []byte(`{"create":{"status":201}}`)); !ok {
			return dst, false
		}
		dst = append(dst, itemAnswer{Status: 201})
	}
	return dst, string(rest) == "]}"
}
