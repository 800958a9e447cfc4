// Package audit records who changed what through GORM: for each committed change of a registered
// model one record with the old and new values, the actor and the request.
//
//	db.Use(audit.Plugin)
//	audit.Register(&Customer{})
//	db.WithContext(audit.WithActor(ctx, audit.Actor{ID: "7", Username: "john.doe"})).Save(&customer)
//
// By default the records are written to the table audit_logs of the application's own database, in the
// application's own transaction; package store/sqlstore searches them and package query serves them over
// HTTP. With Config.Sink they go to a queue and from there through RabbitMQ to OpenSearch, without a
// change to models or handlers. Package middleware brings the actor and the request into the context.
//
// # What is recorded
//
// Create, Save, Update, Delete and everything else that runs GORM's create, update and delete
// callbacks, row by row, with images that the database itself returns: also writes by conditions,
// upserts, defaults and values set by triggers before the write. An update that changes nothing, or
// nothing but a column that GORM sets with every update, is no change. A soft delete is a DELETE, and
// taking it back a RESTORE. A statement that changes more rows than Config.MaxRows gives one record with
// their number.
//
// A dependent model with a Target is logged under its parent, and not at all if it was deleted together
// with its parent: that record has the number in the extra field "cascaded".
//
// With TrackRelation, what is added to and removed from a many-to-many relation is one record of its owner.
//
// By default only changes with an audit context are recorded: see Scope. Registry.Coverage says which
// tables nobody records, and what was written past the trail.
//
// # Values
//
// A change has the database column, and the old and new value as JSON of the type that the model's
// field has: decimals are strings, times are RFC 3339 in UTC, bytes are base64, NaN and the infinities
// are strings, what does not fit is a text. JSON columns are compared decoded, so that spaces and the
// order of keys are no change; the record has both values as a whole, and the table of change_message
// lists up to 20 places inside that differ (found by r3labs/diff).
//
// Values of fields whose names say that they are secret (password, api_key, token, …; whole words
// only), of fields with Mask or `audit:"mask"`, and texts in the form of a secret are replaced by
// "[REDACTED]" before anything else sees them, also inside JSON, object_repr, messages and extra
// fields. That they changed stays visible.
//
// # Delivery
//
// A rolled-back change has no record, nor has one that a savepoint took back. A TxSink (the embedded
// store, an outbox) has the record if and only if the change is committed. A Sink gets it after COMMIT;
// what it promises from then on is its own.
//
// What must not happen unrecorded has the policy Critical, chosen for all or for models and actions. Attempt
// records an act that no transaction holds, such as a login, before and after it.
//
// The configuration is recorded as well when it is not that of the last start, and so is that writes are not
// recorded because of Skip or Shutdown: see ObjectTypeConfig.
//
// # Errors
//
// With the policy Continue nothing that goes wrong in here reaches the application's write: it is
// counted in Stats, given to Config.OnError and logged, at most once for each kind and minute. With
// Strict the write fails. Mistakes in configuration and registration are errors of db.Use, all at once.
// Panics of the application's methods and hooks that are called here are recovered.
//
// # Concurrency
//
// Everything may be used concurrently after db.Use. The package starts no goroutines.
//
// # Limits
//
// Raw SQL, writes of other clients, cascades inside the database, and many-to-many relations without
// TrackRelation or a registered join model are not recorded. Statements that are known not to be recorded are counted in
// Stats. A transaction that GORM did not begin itself is not observed.
package audit
