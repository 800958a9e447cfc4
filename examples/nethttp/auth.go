package main

import (
	"context"
	"crypto/subtle"
	"net/http"
)

type userKey struct{}

// authenticate stands for the application's own authentication: it must run before the audit middleware.
func authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		if !ok || subtle.ConstantTimeCompare([]byte(password), []byte("secret")) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="customers"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
}
