package sqlstore

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/store"
)

// textVersion is the version of what is in a text index. An index of another version is made again.
const textVersion = "3"

// textIndex finds records by their words and keys. It is filled outside the application's transactions,
// when it is searched: an index of words is most of what a write would cost.
type textIndex interface {
	// create gives the statements that make the index, empty.
	create() []string
	// catchUp indexes the records that are not yet indexed: all, or so many that search can answer.
	catchUp(ctx context.Context, all bool) error
	// search answers the query. It returns errBehind if too much is not indexed.
	search(ctx context.Context, q store.Query, m match) (store.Page, error)
	// purge takes out what is from before the time.
	purge(ctx context.Context, before int64) error
	// selected calls use with how the records of q are found. It returns errBehind as search does.
	selected(ctx context.Context, q store.Query, m match, use func(sel selection) error) error
	// deleted is called in each transaction that has deleted records.
	deleted(ctx context.Context, conn gorm.ConnPool) error
}

// errBehind says that a text index cannot answer now.
var errBehind = errors.New("sqlstore: the text index is behind")

// text is the state of a store's text index.
type text struct {
	index textIndex // nil: there is none for this database
	// there says that the tables of the index exist.
	there atomic.Bool
	// failing says that the last catching up failed, so that it is logged once.
	failing atomic.Bool
}

// newTextIndex gives the text index for the database of s, nil if there is none.
func newTextIndex(s *Store) textIndex {
	switch s.d.(type) {
	case sqlite:
		return newSQLiteText(s)
	case postgres:
		return newPostgresText(s)
	}
	return nil
}

// initText makes the text index. That there is none (a SQLite without FTS5, say) is no error: text is
// then found by reading.
func (s *Store) initText(ctx context.Context) {
	if s.cfg.NoTextIndex {
		return
	}
	s.text.index = newTextIndex(s)
	if s.text.index == nil || s.cfg.SkipMigrate || s.textThere(ctx) {
		return
	}
	if err := s.migrateText(ctx); err != nil {
		s.cfg.Logger.WarnContext(ctx, "sqlstore: no text index, text is found by reading all records", slog.Any("error", err))
	}
}

// textThere reports whether the tables of the text index exist.
func (s *Store) textThere(ctx context.Context) bool {
	if s.text.index == nil {
		return false
	}
	if s.text.there.Load() {
		return true
	}
	version, err := s.meta(ctx, s.pool, "text_version")
	if err != nil || version != textVersion {
		return false
	}
	s.text.there.Store(true)
	return true
}

// searchText answers a query with the text index, or by reading where there is none. An index that
// cannot be brought up to date is not used, because the answer would not be complete.
func (s *Store) searchText(ctx context.Context, q store.Query, m match) (store.Page, error) {
	if s.textThere(ctx) {
		var page store.Page
		done, err := s.indexed(ctx, func() (err error) {
			page, err = s.text.index.search(ctx, q, m)
			return err
		})
		if done {
			return page, err
		}
	}
	if needsBody(q) {
		return s.scanText(ctx, q)
	}
	return s.searchPlain(ctx, q)
}

// Index brings the text index up to date, which a search does as well. Call it from time to time in a
// program that writes much and searches seldom, so that a search does not wait.
func (s *Store) Index(ctx context.Context) error {
	if !s.textThere(ctx) {
		return nil
	}
	if err := s.text.index.catchUp(ctx, true); err != nil {
		return unavailable("catch up the text index", err)
	}
	return nil
}
