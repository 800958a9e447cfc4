package main

import "github.com/gormtrail/audit/internal/bench/harness"

// peers are the libraries that build with the GORM of go.mod, and run without a server of their own.
var peers = []harness.Variant{
	{Name: "gorm-history", Install: installHistory, Model: func(c *harness.Customer) any { return &recordable{Customer: *c} }},
	{Name: "gorm-loggable", Install: installLoggable, Model: func(c *harness.Customer) any { return &loggableCustomer{Customer: *c} }},
	{Name: "sentinel", Install: installSentinel},
	{Name: "gormAuditlog", Install: installAuditlog},
}

// modules are the modules whose versions are told.
var modules = []string{
	"gorm.io/gorm",
	"github.com/vcraescu/gorm-history/v2",
	"github.com/imansprn/gorm-loggable",
	"github.com/MUKE-coder/sentinel/v2",
	"github.com/arjunagi-a-rehman/gormAuditlog",
}

// uncounted is the part of a peer that is the same for all: how many records there must be is not known.
type uncounted struct{}

// Check accepts any number of records.
func (uncounted) Check(int64) error { return nil }
