// Package query serves the audit trail over HTTP with Gin.
//
//	err := query.Mount(router.Group("/api/audit-logs"), query.Options{Store: trail, Authorizer: authorizer})
//
// gives, relative to the group and with or without the last slash,
//
//	GET  /search/            one page of summaries; POST for filters that are too long for a URL
//	GET  /detail/:log_id/    all fields of one record
//	GET  /context/:log_id/   the records around a record: of its request, trace, session, transaction, …
//	GET  /objects/:object_type/:object_id/history/   all that happened to an object, with its dependents
//	GET  /objects/:object_type/:object_id/state/     the object as it was at a time
//	GET  /batches/:batch_id/ a batch with its summary, errors and records
//	GET  /users/  /users/:user_id/   who did how much, when and from where
//	GET  /count/  /facets/  /histogram/   numbers of records: in all, by value, over time
//	GET  /export/            all that match, as CSV, NDJSON or CloudEvents
//	GET  /changes/           records in the order of their arrival, from a checkpoint on
//	GET  /stream/            records as they arrive, as server-sent events
//	GET  /meta/  /openapi.json   what the service can do, and its OpenAPI 3.1 document
//
// Count, facets, histogram, users, changes and stream are a 501 if the store does not implement
// store.Counter, store.Faceter, store.Histogrammer or store.Feed. An id with a slash is found if the
// application sets gin.Engine.UseRawPath.
//
// # Access
//
// Nothing is answered without the word of an [Authorizer], which is asked anew for each request: who
// is asking, which records they may see at all, and which fields of those. What it grants is added
// to the caller's own filters by the server, on every route, so no parameter can widen it. A record
// that is not the caller's looks like one that does not exist.
//
// # Parameters of the search
//
//	user_id, username, full_name, action, object_type, object_id, and every other field of
//	store.Fields   records with this value; repeated: any of these values
//	not_<field>    records without this value; repeated: none of these values
//	change_field   records in which this column was changed; with change_from and change_to from and to
//	               a value
//	extra          records whose own field has a value, as name=value
//	from_date      YYYY-MM-DD, from the start of this day in Options.Location, or in the zone tz
//	to_date        YYYY-MM-DD, up to the end of this day
//	from, to       instants in RFC 3339 with an offset, from <= timestamp < to
//	last           the time up to now: 15m, 24h, 7d, 4w
//	search_term    words that must all occur; "a phrase", prefix*
//	page_size      1 to 200, 20 by default
//	from_offset    skip so many records; from_offset + page_size is at most 10,000
//	cursor         next_cursor or prev_cursor of an answer with the same filters
//	sort           -timestamp (newest first, the default) or timestamp
//	total          estimate (counted up to 10,000, the default) or none
//
// The other routes that list or count records take the same filters and times. Each route takes what
// its entry in the OpenAPI document has, and nothing else.
//
// Values of action may be any case, CREATE and UPDATE stand for ADD and CHANGE, and values of
// username, full_name, object_type and source_model ignore case.
//
// # State
//
// The state of an object is rebuilt from its records, newest first, up to the record that has all of its
// values. It never pretends to know more than the trail does: "complete" is false, and "incomplete" says
// why, if there is no ADD, a value was cut, masked or is hidden from the caller, a record has no values or
// was itself cut, a change does not begin with the value that the one before ended with, a statement wrote
// rows that were not recorded one by one, or records of a producer are missing in that time. Columns that
// are excluded from auditing are in no record, and so in no state. A caller whose grant has filters may not
// see the records of gaps: gaps_visible is false then.
//
// # Exports
//
// An export holds a few hundred records in memory, however many there are. It is whole if the trailer
// Audit-Export-Status is "complete"; NDJSON says the same in its last line, and of CloudEvents the list
// ends. If the store fails, or the caller is too slow, the connection is cut within the answer. One that was
// cut goes on with after_log_id, one that was limited with the trailer Audit-Export-Cursor. In CSV no cell
// begins a formula: one that would stands behind an apostrophe.
//
// # Reading is recorded
//
// With Options.Access every read is itself a record: who, what, with which filters, how many records. By
// default nothing is shown that cannot be recorded.
//
// # Errors
//
// Errors are application/problem+json (RFC 9457). A wrong parameter is never ignored: status 400
// lists all mistakes of the request, each with the parameter's name, a code, and what is allowed.
// The others are 401 (nobody known), 403 (known, not allowed), 404 (no such record, or not yours),
// 410 (the cursor is too old), 413, 414 and 431 (body, URL or header too large), 415 (a body that is no
// JSON), 429 (too many requests of one caller at once), 501 (the store cannot do it), 503 (the store cannot
// answer in full now, or reading cannot be recorded) and 504 (it took too long). An answer is complete or an error, and
// never has a word of the store's own errors in it.
//
// # Concurrency
//
// The routes may serve any number of requests at once.
//
// # Limits
//
// A URL has at most 8 KiB, a header 32 KiB, a body 64 KiB, a filter 100 values of 512 bytes, search_term 256 characters and 16 words.
package query
