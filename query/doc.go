// Package query serves the audit trail over HTTP with Gin: a search for lists and one record in full.
//
//	err := query.Mount(router.Group("/api/audit-logs"), query.Options{Store: trail, Authorizer: authorizer})
//
// gives, relative to the group and with or without the last slash,
//
//	GET /search/            one page of summaries
//	GET /detail/:log_id/    all fields of one record
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
//	from_date      YYYY-MM-DD, from the start of this day in Options.Location
//	to_date        YYYY-MM-DD, up to the end of this day
//	search_term    words that must all occur; "a phrase", prefix*
//	page_size      1 to 200, 20 by default
//	from_offset    skip so many records; from_offset + page_size is at most 10,000
//	cursor         next_cursor or prev_cursor of an answer with the same filters
//	sort           -timestamp (newest first, the default) or timestamp
//	total          estimate (counted up to 10,000, the default) or none
//
// Values of action may be any case, CREATE and UPDATE stand for ADD and CHANGE, and values of
// username, full_name, object_type and source_model ignore case.
//
// # Errors
//
// Errors are application/problem+json (RFC 9457). A wrong parameter is never ignored: status 400
// lists all mistakes of the request, each with the parameter's name, a code, and what is allowed.
// The others are 401 (nobody known), 403 (known, not allowed), 404 (no such record, or not yours),
// 410 (the cursor is too old), 414 (URL too long), 429 (too many requests of one caller at once), 503 (the store
// cannot answer in full now) and 504 (it took too long). An answer is complete or an error, and
// never has a word of the store's own errors in it.
//
// # Concurrency
//
// The routes may serve any number of requests at once.
//
// # Limits
//
// A URL has at most 8 KiB, a filter 100 values of 512 bytes, search_term 256 characters and 16 words.
package query
