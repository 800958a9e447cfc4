package query

import (
	"errors"
	"net/http"
	"time"

	"github.com/gormtrail/audit/store"
)

// histogramAnswer is the body of /histogram/.
type histogramAnswer struct {
	Interval string         `json:"interval"`
	Buckets  []bucketAnswer `json:"buckets"`
	Window   window         `json:"window"`
	TookMS   int64          `json:"took_ms"`
}

// bucketAnswer counts the records with Start <= timestamp < End.
type bucketAnswer struct {
	Start time.Time        `json:"start"`
	End   time.Time        `json:"end"`
	Count int64            `json:"count"`
	By    map[string]int64 `json:"by,omitempty"`
}

func intervalNames() []string {
	names := []string{"auto"}
	for _, i := range store.Intervals() {
		names = append(names, string(i))
	}
	return names
}

func histogramParams() []param {
	return []param{
		choice("interval", "width of the buckets, on the clock of the zone", "auto", intervalNames()...),
		choice("by", "count the values of this field in each bucket", "", string(store.FieldAction), string(store.FieldObjectType)),
		integer("max_buckets", "largest number of buckets", store.MaxBuckets, 1, store.MaxBuckets),
	}
}

// histogram answers how many records there are in each interval, without gaps.
func (h *handler) histogram(r *call) {
	q := h.parse(r)
	ask := store.HistogramRequest{Location: h.zoneOf(q), MaxBuckets: r.p.number("max_buckets", store.MaxBuckets, 1, store.MaxBuckets)}
	if i := r.p.word("interval", "auto", intervalNames()...); i != "auto" {
		ask.Interval = store.Interval(i)
	}
	if by := r.p.word("by", "", string(store.FieldAction), string(store.FieldObjectType)); by != "" && r.p.visible(r.grant, "by", by) {
		ask.By = store.Field(by)
	}
	s, ok := able[store.Histogrammer](h, r)
	if !ok {
		return
	}
	found, err := s.Histogram(r.c.Request.Context(), granted(q.query, r.grant), ask)
	if errors.Is(err, store.ErrQuery) {
		r.p.bad("interval", "out_of_range", "a longer interval, less time, or more max_buckets", "there would be more than %d buckets", ask.MaxBuckets)
		h.wrong(r)
		return
	}
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	a := histogramAnswer{Interval: string(found.Interval), Buckets: make([]bucketAnswer, 0, len(found.Buckets)), Window: h.window(q), TookMS: h.took(r)}
	for _, b := range found.Buckets {
		bucket := bucketAnswer{Start: b.Start.UTC(), End: b.End.UTC(), Count: b.Count}
		if ask.By != "" {
			bucket.By = map[string]int64{}
			for _, v := range b.By {
				bucket.By[v.Value] = v.Count
			}
		}
		a.Buckets = append(a.Buckets, bucket)
	}
	if h.recordAccess(r) {
		r.c.PureJSON(http.StatusOK, a)
	}
}
