// Package soak has a test of some minutes: make soak. Two applications write through GORM, a broker, two consumers
// and an OpenSearch of its own carry and keep the records, and each of them is killed again and again while
// everything is counted.
package soak
