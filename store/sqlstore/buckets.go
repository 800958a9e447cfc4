package sqlstore

import (
	"strconv"
	"strings"
)

// buckets has each row find its bucket.
func (postgres) buckets(b *builder, edges []string, value string, from func()) {
	b.write("SELECT width_bucket(ts, ARRAY[", strings.Join(edges, ","), "]::bigint[]) AS n, ", value, " AS v, count(*)")
	from()
	b.WriteString(" GROUP BY 1, 2")
}

func (mysql) buckets(b *builder, edges []string, value string, from func()) {
	b.write("SELECT INTERVAL(ts, ", strings.Join(edges, ","), ") AS n, ", value, " AS v, count(*)")
	from()
	b.WriteString(" GROUP BY n, v")
}

// buckets has each bucket find its rows, by the index of the times: SQLite has no function for the other way.
func (sqlite) buckets(b *builder, edges []string, value string, from func()) {
	b.WriteString("WITH e(n, lo, hi) AS (VALUES ")
	for i := range len(edges) - 1 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("(")
		b.WriteString(strings.Join([]string{strconv.Itoa(i + 1), edges[i], edges[i+1]}, ","))
		b.WriteString(")")
	}
	b.write(") SELECT n, ", value, " AS v, count(*) FROM e CROSS JOIN (SELECT *")
	from()
	b.WriteString(") AS r ON r.ts >= e.lo AND r.ts < e.hi GROUP BY 1, 2")
}
