package query_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

func ExampleMount() {
	gin.SetMode(gin.ReleaseMode)
	// The user is whom the application's own middleware has found; they see records of their tenant only.
	type user struct{ Name, Tenant string }
	authorizer := query.AuthorizerFunc(func(c *gin.Context, _ query.Operation) (query.Grant, error) {
		u, ok := c.Value("user").(user)
		if !ok {
			return query.Grant{}, query.ErrUnauthenticated
		}
		return query.Grant{
			Principal: u.Name,
			Filters:   []store.Filter{{Field: store.FieldTenantID, Values: []string{u.Tenant}}},
			Hidden:    []string{"session_key"},
		}, nil
	})

	router := gin.New()
	group := router.Group("/api/audit-logs")
	trail := storetest.NewMemory(seed(10)...) // or sqlstore.New(…), or opensearch.New(…)
	if err := query.Mount(group, query.Options{Store: trail, Authorizer: authorizer, Location: time.UTC}); err != nil {
		fmt.Println(err)
		return
	}

	w := httptest.NewRecorder()
	router.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/audit-logs/search/?page_size=5", nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 401 application/problem+json; charset=utf-8
}

func ExampleBearerTokens() {
	gin.SetMode(gin.ReleaseMode)
	authorizer, err := query.BearerTokens(map[string]query.Grant{
		"a-long-random-token-of-ann": {Principal: "ann"},
		"a-long-random-token-of-bob": {Principal: "bob", Filters: []store.Filter{{Field: store.FieldObjectType, Values: []string{"order"}}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gin.New()
	if err := query.Mount(router.Group("/api/audit-logs"), query.Options{Store: storetest.NewMemory(seed(10)...), Authorizer: authorizer, CursorKey: make([]byte, 32)}); err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodGet, "/api/audit-logs/search/?user_id=1&page_size=5", nil)
	r.Header.Set("Authorization", "Bearer a-long-random-token-of-ann")
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 application/json; charset=utf-8
}
