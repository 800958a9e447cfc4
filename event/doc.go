// Package event has the audit record as it travels: its fields, its encoding in JSON, its identity.
// It imports the standard library only, so that producers and readers in other programs can use it
// alone.
package event
