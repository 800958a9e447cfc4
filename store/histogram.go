package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Bounds of histograms.
const (
	MaxBuckets = 500
	// MaxBucketValues is how many values of HistogramRequest.By a bucket counts apart, the most frequent.
	MaxBucketValues = 100
)

// Histogrammer counts records by time. Its method may be called concurrently and honours ctx.
type Histogrammer interface {
	// Histogram gives the number of records that match q in each interval from q.From to q.To, or where one of
	// these is missing from the oldest or to the newest record that matches. The sum of all buckets is the
	// exact number of records. There are no gaps: an interval without records is a bucket with 0. Of q only
	// filters, times and Text matter. The error wraps ErrQuery if q or r is not valid, or there would be more
	// than r.MaxBuckets; else errors are those of Search.
	Histogram(ctx context.Context, q Query, r HistogramRequest) (Histogram, error)
}

// HistogramRequest says how records are counted.
type HistogramRequest struct {
	// Interval is the width of the buckets. Defaults to the shortest one with which there are at most
	// MaxBuckets.
	Interval Interval
	// Location is the zone whose clock says where hours, days and months begin. Defaults to UTC.
	Location *time.Location
	// MaxBuckets is the largest number of buckets. Defaults to the constant MaxBuckets, and is at most that.
	MaxBuckets int
	// By also counts the values of this field in each bucket: FieldAction, FieldObjectType or none.
	By Field
}

// Histogram has the number of records in each interval.
type Histogram struct {
	Interval Interval
	// Buckets follow each other without a gap. There are none if no record matches and the query does not
	// bound the time on both sides.
	Buckets []Bucket
}

// Bucket is one interval: Start <= timestamp < End. It may begin before Query.From and end after Query.To;
// what is outside of these is not counted.
type Bucket struct {
	Start, End time.Time
	Count      int64
	// By has the most frequent values of HistogramRequest.By, in the form of Field.Canonical.
	By []FacetValue
}

// WithDefaults gives r with the defaults filled in, but for the interval.
func (r HistogramRequest) WithDefaults() HistogramRequest {
	if r.Location == nil {
		r.Location = time.UTC
	}
	if r.MaxBuckets == 0 {
		r.MaxBuckets = MaxBuckets
	}
	return r
}

// Validate reports everything that is wrong with r, which has its defaults; the error wraps ErrQuery.
func (r HistogramRequest) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrQuery}, args...)...))
	}
	if r.Interval != "" && !slices.Contains(Intervals(), r.Interval) {
		bad("no interval %q, want one of %v", r.Interval, Intervals())
	}
	if r.MaxBuckets < 1 || r.MaxBuckets > MaxBuckets {
		bad("max buckets is %d, want 1 to %d", r.MaxBuckets, MaxBuckets)
	}
	if r.By != "" && r.By != FieldAction && r.By != FieldObjectType {
		bad("no field %q to count buckets by, want %s or %s", r.By, FieldAction, FieldObjectType)
	}
	return errors.Join(errs...)
}

// Buckets gives the empty buckets for records with from <= timestamp < to. An error wraps ErrQuery: there
// would be more than r.MaxBuckets.
func (r HistogramRequest) Buckets(from, to time.Time) (Histogram, error) {
	candidates := Intervals()
	if r.Interval != "" {
		candidates = []Interval{r.Interval}
	}
	for _, interval := range candidates {
		if buckets, ok := r.buckets(interval, from, to); ok {
			return Histogram{Interval: interval, Buckets: buckets}, nil
		}
	}
	return Histogram{}, fmt.Errorf("%w: more than %d buckets of a %s between %s and %s: ask for less time, or longer intervals", ErrQuery, r.MaxBuckets,
		candidates[len(candidates)-1], from.Format(time.RFC3339), to.Format(time.RFC3339))
}

func (r HistogramRequest) buckets(interval Interval, from, to time.Time) (buckets []Bucket, ok bool) {
	if !from.Before(to) {
		return nil, true
	}
	if to.Sub(from)/interval.longest() > time.Duration(r.MaxBuckets) {
		return nil, false
	}
	for start := interval.start(from.In(r.Location)); start.Before(to); {
		if len(buckets) == r.MaxBuckets {
			return nil, false
		}
		end := interval.next(start)
		buckets = append(buckets, Bucket{Start: start, End: end})
		start = end
	}
	return buckets, true
}

// Bucket gives the place of the bucket with the time, -1 if there is none.
func (h Histogram) Bucket(t time.Time) int {
	// As everywhere, what is below a millisecond does not count.
	ms := t.UnixMilli()
	i, found := slices.BinarySearchFunc(h.Buckets, ms, func(b Bucket, ms int64) int { return cmp.Compare(b.Start.UnixMilli(), ms) })
	if !found {
		i--
	}
	if i < 0 || ms >= h.Buckets[i].End.UnixMilli() {
		return -1
	}
	return i
}
