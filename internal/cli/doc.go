// Package cli is the program auditlog: the consumer, the query server, and what sets up their
// surroundings. The program's main function only calls Main.
package cli
