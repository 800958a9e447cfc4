// Package harness measures what auditing costs: the same writes through GORM without and with it, in
// the same run, as a Markdown document.
//
// The variants of a section take turns in short rounds, so that a busy machine slows all of them. Each
// write is timed alone; a round compares the medians of its writes, and what is printed is the median of
// the rounds with the quartiles. Times of different runs cannot be compared.
package harness
