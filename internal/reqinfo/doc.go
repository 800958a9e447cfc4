// Package reqinfo takes from an HTTP request what an audit record says about it. The middleware of
// every framework is a thin layer over it.
package reqinfo
