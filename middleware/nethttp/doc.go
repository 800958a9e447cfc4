// Package nethttp puts the audit context of a request into an application on net/http: who asks, and
// from where. What the handlers then write through GORM with the request's context is recorded with
// these facts. Package middleware does the same for Gin.
//
//	mux := http.NewServeMux()
//	mux.HandleFunc("PUT /customers/{id}", func(w http.ResponseWriter, r *http.Request) {
//		db.WithContext(r.Context()).Save(&customer)
//	})
//	http.ListenAndServe(addr, authenticate(nethttp.Handler(nethttp.Options{Identify: identify})(mux)))
//
// # Delivery
//
// The middleware records nothing itself. Work that outlives the request takes the request's context,
// detached with context.WithoutCancel, and keeps its audit context.
//
// # Errors
//
// Options cannot be wrong, so Handler has no error: proxies are parsed before, see ParseProxies. A
// panic in a function of the application is logged; the request then has no actor, session key or
// route, and goes on. A panic of a handler passes through.
//
// # Concurrency
//
// Identify is called by one goroutine at a time, possibly by one that the handler has started, and
// never after the request has ended.
//
// # Limits
//
// Nothing that the client writes decides who it is: the actor comes from Identify alone, the address
// from headers only as far as trusted proxies wrote them. The user agent is kept as it came, up to
// 1024 bytes; whoever shows it escapes it.
package nethttp
