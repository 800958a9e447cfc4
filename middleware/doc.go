// Package middleware puts the audit context of a request into a Gin application: who asks, and from
// where. What the handlers then write through GORM with that context is recorded with these facts.
// Package middleware/nethttp does the same without Gin.
//
//	r := gin.New()
//	r.Use(middleware.Gin(middleware.Options{Identify: func(c *gin.Context) (audit.Actor, bool) {
//		user, ok := c.Get("user") // as the application's own authentication left it
//		…
//	}}))
//	r.PUT("/customers/:id", func(c *gin.Context) {
//		db.WithContext(c.Request.Context()).Save(&customer)
//	})
//
// # Delivery
//
// The middleware records nothing itself. It puts the audit context into the request's context and,
// because a *gin.Context hides the values of that, under audit.ContextKey into the Gin context. Work
// that outlives the request keeps its audit context; it must take the request's context, detached
// with context.WithoutCancel, and not the Gin context, which Gin uses again for other requests.
//
// # Errors
//
// Options cannot be wrong, so Gin has no error: proxies are parsed before, see ParseProxies. A panic
// in a function of the application is logged; the request then has no actor or no session key, and
// goes on. A panic of a handler passes through.
//
// # Concurrency
//
// Identify is called by one goroutine at a time, possibly by one that the handler has started: it
// should use what authentication stored with c.Set, which is safe, rather than fields of c that
// handlers assign to. It is never called after the request has ended.
//
// db.WithContext(c) is recorded in the same way, but better not used: a goroutine of database/sql asks
// the context of a query once more, possibly after the request has ended, when Gin may have given c to
// another request. The race detector reports that with and without this module (Gin 1.10, Go 1.26).
//
// # Limits
//
// Nothing that the client writes decides who it is: the actor comes from Identify alone, the address
// from headers only as far as trusted proxies wrote them. The user agent is kept as it came, up to
// 1024 bytes; whoever shows it escapes it.
package middleware
