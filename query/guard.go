package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/store"
)

// guard stands before every route: limits, headers, the Authorizer, the time-out, the parameters.
func (h *handler) guard(route *route) gin.HandlerFunc {
	return func(c *gin.Context) {
		secure(c.Writer.Header())
		if h.Observe != nil {
			start := h.Clock()
			defer func() {
				h.Observe(c.Request.Context(), route.verb(), route.path, c.Writer.Status(), h.Clock().Sub(start))
			}()
		}
		if h.tooLarge(c) {
			return
		}
		grant, ok := h.authorize(c, route.operation)
		if !ok {
			return
		}
		leave, ok := h.enter(c, route, grant.Principal)
		if !ok {
			return
		}
		defer leave()
		if !route.streams {
			ctx, cancel := context.WithTimeout(c.Request.Context(), h.Timeout)
			defer cancel()
			c.Request = c.Request.WithContext(ctx)
		}
		r := &call{c: c, route: route, grant: grant, p: &parser{}, start: h.Clock()}
		if route.body {
			if !h.readBody(r) {
				return
			}
		} else {
			r.p.read(c.Request.URL.RawQuery)
		}
		r.p.unknown(route)
		route.serve(r)
	}
}

// wrong refuses the request if there are mistakes in its parameters.
func (h *handler) wrong(r *call) bool {
	if len(r.p.errs) > 0 {
		h.badParams(r.c, r.p.errs)
		return true
	}
	return false
}

// tooLarge refuses what is larger than any request of ours must be.
func (h *handler) tooLarge(c *gin.Context) bool {
	if n := len(c.Request.URL.RequestURI()); n > MaxURLLength {
		h.refuse(c, http.StatusRequestURITooLong, problemTooLong, "URL too long", fmt.Sprintf("the URL has %d bytes, at most %d are allowed", n, MaxURLLength))
		return true
	}
	n := 0
	for name, values := range c.Request.Header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	if n > MaxHeaderLength {
		h.refuse(c, http.StatusRequestHeaderFieldsTooLarge, problemHeader, "Header too large", fmt.Sprintf("the header has %d bytes, at most %d are allowed", n, MaxHeaderLength))
		return true
	}
	return false
}

// enter takes a place among the requests of the principal, and among its streams.
func (h *handler) enter(c *gin.Context, route *route, principal string) (leave func(), ok bool) {
	busy, what := &h.busy, "requests"
	if route.streams {
		busy, what = &h.streaming, "exports and streams"
	}
	if !busy.enter(principal) {
		c.Header("Retry-After", "1")
		h.refuse(c, http.StatusTooManyRequests, problemTooMany, "Too many requests",
			fmt.Sprintf("%d %s of yours are being served already", busy.most, what))
		return nil, false
	}
	return func() { busy.leave(principal) }, true
}

// secure sets the headers of every answer: it is data of one caller, and never a page.
func secure(header http.Header) {
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Add("Vary", "Authorization, Cookie")
}

// authorize asks the Authorizer. Whatever goes wrong, nothing is shown.
func (h *handler) authorize(c *gin.Context, operation Operation) (Grant, bool) {
	grant, err := h.Authorizer.Authorize(c, operation)
	ctx := c.Request.Context()
	switch {
	case errors.Is(err, ErrUnauthenticated):
		h.refuse(c, http.StatusUnauthorized, problemUnauthenticated, "Not authenticated", "the request needs a valid token or session")
	case errors.Is(err, ErrForbidden):
		h.refuse(c, http.StatusForbidden, problemForbidden, "Not allowed", "you are not allowed to read these records")
	case err != nil:
		h.Logger.ErrorContext(ctx, "audit query: the authorizer failed", slog.String("operation", string(operation)), slog.Any("error", err))
		c.Header("Retry-After", "5")
		h.refuse(c, http.StatusServiceUnavailable, problemAuthorizer, "Authorization not available", "it cannot be decided now who you are")
	default:
		if err := grant.validate(); err != nil {
			h.Logger.ErrorContext(ctx, "audit query: the authorizer gave an impossible grant", slog.String("principal", grant.Principal), slog.Any("error", err))
			h.refuse(c, http.StatusInternalServerError, problemInternal, "Internal error", "")
			return Grant{}, false
		}
		if grant.empty() {
			h.Logger.WarnContext(ctx, "audit query: refused, a filter of the grant has no values", slog.String("principal", grant.Principal))
			h.refuse(c, http.StatusForbidden, problemForbidden, "Not allowed", "you are not allowed to read these records")
			return Grant{}, false
		}
		return grant, true
	}
	return Grant{}, false
}

// failed answers for an error of the store, whose text stays in the log.
func (h *handler) failed(c *gin.Context, operation Operation, err error) {
	ctx := c.Request.Context()
	if errors.Is(err, store.ErrNotFound) {
		h.refuse(c, http.StatusNotFound, problemNotFound, "No such record", "there is no such record, or you may not see it")
		return
	}
	if errors.Is(ctx.Err(), context.Canceled) { // the caller has gone: nobody reads the answer
		c.Abort()
		return
	}
	h.Logger.ErrorContext(ctx, "audit query: the store failed", slog.String("operation", string(operation)), slog.Any("error", err))
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		h.refuse(c, http.StatusGatewayTimeout, problemTimeout, "The store took too long", "ask for less: a shorter time, or more filters")
	case errors.Is(err, store.ErrUnavailable):
		c.Header("Retry-After", "5")
		h.refuse(c, http.StatusServiceUnavailable, problemUnavailable, "The store is not available", "the store cannot answer in full now")
	case errors.Is(err, store.ErrQuery):
		h.badParams(c, []ParamError{{Param: "(query)", Code: "not_supported", Detail: "the store cannot run this search", Allowed: "fewer or simpler filters"}})
	default:
		h.refuse(c, http.StatusInternalServerError, problemInternal, "Internal error", "")
	}
}
