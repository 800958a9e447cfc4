package middleware_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/middleware"
)

// The middleware may stand before authentication: it asks who it is when something is recorded.
func ExampleGin() {
	gin.SetMode(gin.ReleaseMode)
	proxies, err := middleware.ParseProxies("10.0.0.0/8") // the load balancer
	if err != nil {
		fmt.Println(err)
		return
	}
	router := gin.New()
	router.Use(middleware.Gin(middleware.Options{
		Identify: func(c *gin.Context) (audit.Actor, bool) {
			user := c.GetString("user")
			return audit.Actor{ID: user}, user != ""
		},
		TrustedProxies: proxies,
	}))
	router.Use(func(c *gin.Context) { c.Set("user", "7") }) // the application's authentication
	router.PUT("/customers/:id", func(c *gin.Context) {
		// db.WithContext(c.Request.Context()).Save(&customer)
		actor, _ := audit.ActorFrom(c.Request.Context())
		request, _ := audit.RequestFrom(c.Request.Context())
		fmt.Println(actor.ID, request.IPAddress, request.Method, request.Route)
	})

	r := httptest.NewRequest(http.MethodPut, "/customers/42", nil)
	r.RemoteAddr = "10.0.0.1:4711"
	r.Header.Set("X-Forwarded-For", "127.0.0.1, 203.0.113.9") // the left one is the client's invention
	router.ServeHTTP(httptest.NewRecorder(), r)
	// Output: 7 203.0.113.9 PUT /customers/:id
}
