// Package viewer serves a web page for reading the audit trail: a list with filters, counts and a histogram,
// each record with its changes, histories of objects with their states compared, and batches. Everything it
// needs is in the binary.
//
//	err := viewer.Mount(router.Group("/audit"), viewer.Options{Query: query.Options{Store: trail, Authorizer: authorizer}})
//
// gives, relative to the group,
//
//	GET    /                  the page, the same for everybody, without data
//	GET    /assets/…          its scripts and styles
//	GET    /api/…             the routes of package query, for the page
//	GET    /session           who is signed in
//	POST   /session           sign in with a token
//	DELETE /session           sign out
//
// # Access
//
// All data comes through the routes of package query, so the Authorizer of Options.Query decides
// about every request. The page works with each Authorizer: one that knows people by the
// application's own session just does (set Options.SignInURL), and one that wants a Bearer token gets
// it from the viewer's session.
//
// That session is a cookie, HttpOnly and SameSite=Strict, valid under the path of the group only. It
// holds the token, encrypted and authenticated with AES-256-GCM, and its expiry. For each request
// under /api the token is put into the Authorization header, and the Authorizer is asked as if the
// caller had sent it: a token that is taken back works no longer, session or not. A request with an
// Authorization header of its own is left as it is. No script can read the cookie, and the token is
// never in a URL or in the browser's storage.
//
// Signing in and out is refused for requests from other sites (Sec-Fetch-Site, or Origin against
// Host, see http.CrossOriginProtection), and so is the cookie under /api.
//
// # Content Security Policy
//
// The page loads nothing from elsewhere, runs no inline script or style, may not be framed, and all
// script sinks are closed by Trusted Types. Values of records reach it as text only; control,
// direction and zero-width characters are shown by their code.
//
// # Languages
//
// The page is in English or Vietnamese, as the reader chooses, as Options.Language says, or as the browser
// prefers; Options.Languages adds others. The choice is in the address, as are the zone of the times, all
// filters and the open record.
//
// # Limits
//
// Signing out forgets the cookie in this browser, and the process does not take it any longer; other
// processes, and this one after a restart with the same Options.SessionKey, take a copy of it until it
// expires.
package viewer
