package main

import (
	"context"
	"crypto/rand"

	"github.com/gin-gonic/gin"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/middleware"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/query/viewer"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// This file is all that an application needs to be audited: register the models, use the plugin, use
// the middleware, mount the query API and the viewer.

// trail is where the records go and where they are found.
type trail struct {
	config audit.Config
	store  store.Searcher
	// close ends what was started for it.
	close func(ctx context.Context) error
}

func openTrail(ctx context.Context, cfg config, db *gorm.DB) (*trail, error) {
	if cfg.pipeline {
		return pipelineTrail(ctx, cfg.data)
	}
	return embeddedTrail(db)
}

// embeddedTrail keeps the records in the table audit_logs of the application's own database, written
// in the application's own transactions.
func embeddedTrail(db *gorm.DB) (*trail, error) {
	records, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		return nil, err
	}
	return &trail{
		config: audit.Config{TxSink: records},
		store:  records,
		close:  func(context.Context) error { return nil },
	}, nil
}

// useAudit records every change that is made through db from now on.
func useAudit(db *gorm.DB, t *trail) (*audit.Auditor, error) {
	registry := audit.NewRegistry()
	// db.Use returns the mistakes of all registrations.
	_ = registry.Register(&Customer{}, audit.AppLabel("sales"))
	_ = registry.Register(&Order{}, audit.AppLabel("sales"))
	_ = registry.Register(&Employee{}, audit.AppLabel("hrm"))
	_ = registry.Register(&Dependent{}, audit.AppLabel("hrm"))

	config := t.config
	config.Registry, config.Service, config.Environment = registry, "crm", "demo"
	auditor := audit.New(config)
	return auditor, db.Use(auditor)
}

// auditRequests tells the plugin who asks, and from where.
func auditRequests() gin.HandlerFunc {
	sessionKey := middleware.SessionHashKeyFromEnv()
	if sessionKey == nil {
		sessionKey = []byte(rand.Text()) // for a demonstration: until the next start
	}
	return middleware.Gin(middleware.Options{
		Identify: func(c *gin.Context) (audit.Actor, bool) {
			u, ok := c.Get(userKey) // as signedIn has left it
			if !ok {
				return audit.Actor{}, false
			}
			return u.(*user).actor(), true
		},
		SessionKey:     sessionOf,
		SessionHashKey: sessionKey,
	})
}

// mountTrail serves the records: an API, and a page to read them.
func mountTrail(router *gin.Engine, t *trail, users *users) error {
	cursorKey := make([]byte, 32)
	_, _ = rand.Read(cursorKey) // never fails
	options := query.Options{
		Store: t.store, CursorKey: cursorKey,
		// Auditors see everything, everybody else what they did themselves.
		Authorizer: query.AuthorizerFunc(func(c *gin.Context, _ query.Operation) (query.Grant, error) {
			u, ok := users.of(c)
			if !ok {
				return query.Grant{}, query.ErrUnauthenticated
			}
			grant := query.Grant{Principal: u.Username}
			if !u.Auditor {
				grant.Filters = []store.Filter{{Field: store.FieldUserID, Values: []string{u.ID}}}
			}
			return grant, nil
		}),
	}
	if records, ok := t.store.(store.Writer); ok {
		options.Access.Recorder = query.AccessTo(records)
		// Reading in the viewer would soon be most of the trail of a demonstration.
		options.Access.Operations = []query.Operation{query.OperationExport}
	}
	if err := query.Mount(router.Group("/api/audit-logs"), options); err != nil {
		return err
	}
	return viewer.Mount(router.Group("/audit"), viewer.Options{Query: options, Title: "CRM audit trail"})
}
