// Package audittest makes auditing testable: a recorder that takes the place of the store, a table of what
// is expected of the records, golden files, and a clock that stands still.
//
//	rec := audittest.Install(t, db, audit.Config{Scope: audit.ScopeAll})
//	... the code under test ...
//	rec.Records().Match(t,
//		audittest.Want{Action: audit.ActionChange, Object: "customer 7", Under: "employee 3", By: "john.doe",
//			Fields: audittest.Fields{"phone": {"0901", "0902"}}},
//	)
//
// A suite that rolls the transaction of each test back asks for what a COMMIT would record:
//
//	rec.Pending(t, tx).Match(t, ...)
//
// # Concurrency
//
// A Recorder and a Clock may be used by many goroutines. Each test that runs in parallel with others has a
// database handle, and so a Recorder, of its own.
package audittest
