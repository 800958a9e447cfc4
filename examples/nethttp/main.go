// Command nethttp is an audited application on net/http, without Gin. It has the query API beside its own routes.
//
//	go run ./examples/nethttp
//	curl -X PUT -u jane:secret -d '{"phone":"0902"}' http://localhost:8081/customers/1
//	curl -H 'Authorization: Bearer demo-token-0123456789' 'http://localhost:8081/api/audit-logs/search/?object_type=customer'
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/middleware/nethttp"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store/sqlstore"
)

// token is for a demonstration: a real one is random, and kept as a hash, see auditlog token.
const token = "demo-token-0123456789"

// Customer is audited.
type Customer struct {
	ID    uint   `json:"id"`
	Name  string `json:"name"`
	Phone string `json:"phone"`
}

func main() {
	if err := run("localhost:8081"); err != nil {
		fmt.Fprintln(os.Stderr, "nethttp:", err)
		os.Exit(1)
	}
}

func run(address string) error {
	gin.SetMode(gin.ReleaseMode)
	db, err := gorm.Open(sqlite.Open(":memory:"), &gorm.Config{})
	if err != nil {
		return err
	}
	handler, err := New(db)
	if err != nil {
		return err
	}
	fmt.Printf("customers: http://%s/customers/1\naudit trail: http://%[1]s/api/audit-logs/search/\n", address)
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

// New gives the application with its trail. The database in memory is that of one connection.
func New(db *gorm.DB) (http.Handler, error) {
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	if err := errors.Join(db.AutoMigrate(&Customer{}), db.Use(audit.Plugin), audit.Register(&Customer{})); err != nil {
		return nil, err
	}
	if err := db.FirstOrCreate(&Customer{}, Customer{ID: 1, Name: "Ada Lovelace", Phone: "0901"}).Error; err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /customers/{id}", func(w http.ResponseWriter, r *http.Request) {
		var change Customer
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&change); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		// The request's context is all that auditing asks for.
		done := db.WithContext(r.Context()).Model(&Customer{}).Where("id = ?", r.PathValue("id")).Update("phone", change.Phone)
		switch {
		case done.Error != nil:
			http.Error(w, "not stored", http.StatusInternalServerError)
		case done.RowsAffected == 0:
			http.NotFound(w, r)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	identify := func(r *http.Request) (audit.Actor, bool) {
		user, ok := r.Context().Value(userKey{}).(string)
		return audit.Actor{ID: user, Username: user}, ok
	}
	root := http.NewServeMux()
	root.Handle("/customers/", authenticate(nethttp.Handler(nethttp.Options{Identify: identify})(mux)))
	trail, err := api(db)
	if err != nil {
		return nil, err
	}
	root.Handle("/api/audit-logs/", trail)
	return root, nil
}

// api gives the query API, which is a handler of net/http like any other.
func api(db *gorm.DB) (http.Handler, error) {
	trail, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		return nil, err
	}
	may, err := query.BearerTokens(map[string]query.Grant{token: {Principal: "auditor"}})
	if err != nil {
		return nil, err
	}
	router := gin.New()
	return router, query.Mount(router.Group("/api/audit-logs"), query.Options{Store: trail, Authorizer: may})
}
