package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit"
)

//go:embed web
var web embed.FS

type api struct {
	db *gorm.DB
}

// newRouter gives the whole application.
func newRouter(db *gorm.DB, t *trail) (*gin.Engine, error) {
	router := gin.New()
	if err := router.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	router.Use(gin.Recovery(), logErrors, limitBody, auditRequests(), sameOrigin(http.NewCrossOriginProtection()))

	users := newUsers()
	router.POST("/login", users.login(db))
	router.POST("/logout", users.logout)

	a := &api{db: db}
	g := router.Group("/api", users.signedIn)
	g.GET("/me", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"username": c.MustGet(userKey).(*user).Username}) })
	g.GET("/customers", list[Customer](a))
	g.POST("/customers", create[Customer](a))
	g.PUT("/customers/:id", update[Customer](a))
	g.DELETE("/customers/:id", remove[Customer](a))
	g.POST("/customers/import", a.importCustomers)
	g.GET("/customers/export", a.exportCustomers)
	g.GET("/orders", list[Order](a))
	g.POST("/orders", create[Order](a))
	g.PUT("/orders/:id", update[Order](a))
	g.POST("/checkout", a.checkout)
	g.GET("/employees", list[Employee](a, "Dependents"))
	g.POST("/employees", create[Employee](a))
	g.PUT("/employees/:id", update[Employee](a))
	g.DELETE("/employees/:id", remove[Employee](a, "Dependents"))
	g.POST("/employees/:id/dependents", a.addDependent)
	g.DELETE("/dependents/:id", remove[Dependent](a))

	if err := mountTrail(router, t, users); err != nil {
		return nil, err
	}
	files, err := fs.Sub(web, "web")
	if err != nil {
		return nil, err
	}
	serve := http.FileServerFS(files)
	router.NoRoute(func(c *gin.Context) {
		c.Header("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'")
		serve.ServeHTTP(c.Writer, c.Request)
	})
	return router, nil
}

// maxBody is the largest body of a request in bytes.
const maxBody = 1 << 20

// limitBody makes reading more than maxBody bytes an error: what is not read cannot fill memory or trail.
func limitBody(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxBody)
}

// sameOrigin refuses what another site makes a browser send, the login too: nobody shall work, and be in
// the trail, as somebody else without knowing it.
func sameOrigin(cross *http.CrossOriginProtection) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := cross.Check(c.Request); err != nil {
			refuse(c, http.StatusForbidden, err)
		}
	}
}

// model is what the generic handlers work on: a pointer to T.
type model[T any] interface {
	*T
	setID(id uint)
	check() error
}

func list[T any, P model[T]](a *api, preload ...string) gin.HandlerFunc {
	return func(c *gin.Context) {
		rows := []T{}
		tx := a.db.WithContext(c.Request.Context()).Order("id").Limit(200)
		for _, name := range preload {
			tx = tx.Preload(name)
		}
		answer(c, http.StatusOK, tx.Find(&rows).Error, rows)
	}
}

func create[T any, P model[T]](a *api) gin.HandlerFunc {
	return func(c *gin.Context) {
		row := P(new(T))
		err := bind(c, row)
		if err == nil {
			row.setID(0)
			err = a.db.WithContext(c.Request.Context()).Create(row).Error
		}
		answer(c, http.StatusCreated, err, row)
	}
}

// update changes the fields that the client sends. Only what is different then is in the trail.
func update[T any, P model[T]](a *api) gin.HandlerFunc {
	return func(c *gin.Context) {
		row := P(new(T))
		err := a.db.WithContext(c.Request.Context()).Transaction(func(tx *gorm.DB) error {
			id, err := find(c, tx, row)
			if err != nil {
				return err
			}
			if err := bind(c, row); err != nil {
				return err
			}
			row.setID(id)
			return tx.Omit(clause.Associations).Save(row).Error
		})
		answer(c, http.StatusOK, err, row)
	}
}

// remove deletes a row with the associations that belong to it.
func remove[T any, P model[T]](a *api, with ...string) gin.HandlerFunc {
	return func(c *gin.Context) {
		row := P(new(T))
		err := a.db.WithContext(c.Request.Context()).Transaction(func(tx *gorm.DB) error {
			if _, err := find(c, tx, row); err != nil {
				return err
			}
			if len(with) > 0 {
				tx = tx.Select(with)
			}
			return tx.Delete(row).Error
		})
		answer(c, http.StatusNoContent, err, nil)
	}
}

func (a *api) addDependent(c *gin.Context) {
	var d Dependent
	err := a.db.WithContext(c.Request.Context()).Transaction(func(tx *gorm.DB) error {
		id, err := find(c, tx, &Employee{})
		if err != nil {
			return err
		}
		if err := bind(c, &d); err != nil {
			return err
		}
		d.ID, d.EmployeeID = 0, id
		return tx.Create(&d).Error
	})
	answer(c, http.StatusCreated, err, &d)
}

// importCustomers takes what it can. All records of the import have one batch_id; if rows failed,
// a summary says which.
func (a *api) importCustomers(c *gin.Context) {
	var rows []Customer
	if err := c.ShouldBindJSON(&rows); err != nil {
		answer(c, 0, badRequestError{err}, nil)
		return
	}
	imported := 0
	err := audit.RunBatch(a.db.WithContext(c.Request.Context()), audit.BatchOptions{
		Action: audit.ActionImport, Model: &Customer{},
		Extra: audit.Fields{"import_source": c.DefaultQuery("source", "customers.json")},
	}, func(ctx context.Context, batch *audit.Batch) error {
		for i := range rows {
			err := rows[i].check()
			if err == nil {
				err = a.db.WithContext(ctx).Create(&rows[i]).Error
			}
			if err != nil {
				batch.AddError(fmt.Errorf("row %d: %w", i+1, err))
				continue
			}
			imported++
		}
		return nil
	})
	answer(c, http.StatusOK, err, gin.H{"imported": imported, "failed": len(rows) - imported})
}

// exportCustomers writes a record of its own: no row changes, but data leaves the house.
func (a *api) exportCustomers(c *gin.Context) {
	rows := []Customer{}
	db := a.db.WithContext(c.Request.Context())
	err := db.Order("id").Find(&rows).Error
	if err == nil {
		err = audit.Log(db, audit.Entry{
			Action: audit.ActionExport, ObjectType: "customer", ObjectRepr: "All customers", Message: "Exported customers",
			Extra: audit.Fields{"export_format": "json", "export_count": len(rows)},
		})
	}
	c.Header("Content-Disposition", `attachment; filename="customers.json"`)
	answer(c, http.StatusOK, err, rows)
}

// errPaymentRefused comes after the writes of a checkout.
var errPaymentRefused = errors.New("the payment was refused; nothing was saved")

// checkout writes first and pays then. If the payment is refused all is rolled back, and nothing of
// it is in the trail.
func (a *api) checkout(c *gin.Context) {
	var in struct {
		CustomerID uint   `json:"customer_id" binding:"required"`
		Item       string `json:"item" binding:"required"`
		TotalCents int64  `json:"total_cents"`
		Card       string `json:"card"` // "declined" is refused
	}
	if err := c.ShouldBindJSON(&in); err != nil {
		answer(c, 0, badRequestError{err}, nil)
		return
	}
	order := Order{CustomerID: in.CustomerID, Item: in.Item, TotalCents: in.TotalCents, Status: "paid"}
	err := a.db.WithContext(c.Request.Context()).Transaction(func(tx *gorm.DB) error {
		var customer Customer
		if err := tx.First(&customer, in.CustomerID).Error; err != nil {
			return err
		}
		if err := tx.Create(&order).Error; err != nil {
			return err
		}
		if err := tx.Model(&customer).Update("Note", "Last bought: "+in.Item).Error; err != nil {
			return err
		}
		if in.Card == "declined" {
			return errPaymentRefused
		}
		return nil
	})
	answer(c, http.StatusCreated, err, &order)
}

// badRequestError is a mistake of the client.
type badRequestError struct{ error }

// bind reads the body over what is in row.
func bind(c *gin.Context, row interface{ check() error }) error {
	err := c.ShouldBindJSON(row)
	if err == nil {
		err = row.check()
	}
	if err != nil {
		return badRequestError{err}
	}
	return nil
}

// find loads the row that the path names.
func find(c *gin.Context, tx *gorm.DB, row any) (uint, error) {
	id, err := strconv.ParseUint(c.Param("id"), 10, 32)
	if err != nil {
		return 0, gorm.ErrRecordNotFound
	}
	return uint(id), tx.Where("id = ?", id).First(row).Error
}

// answer gives the body, or says what err is.
func answer(c *gin.Context, status int, err error, body any) {
	var bad badRequestError
	switch {
	case errors.As(err, &bad):
		refuse(c, http.StatusBadRequest, err)
	case errors.Is(err, gorm.ErrRecordNotFound):
		refuse(c, http.StatusNotFound, errors.New("not found"))
	case errors.Is(err, gorm.ErrDuplicatedKey):
		refuse(c, http.StatusConflict, errors.New("there is one with these data already"))
	case errors.Is(err, gorm.ErrForeignKeyViolated):
		refuse(c, http.StatusConflict, errors.New("it belongs to something that is not there, or something belongs to it"))
	case errors.Is(err, errPaymentRefused):
		refuse(c, http.StatusPaymentRequired, err)
	case err != nil:
		_ = c.Error(err) // logErrors logs it
		refuse(c, http.StatusInternalServerError, errors.New("something went wrong, see the log"))
	case body == nil:
		c.Status(status)
	default:
		c.JSON(status, body)
	}
}

// logErrors logs what handlers do not tell the client.
func logErrors(c *gin.Context) {
	c.Next()
	for _, err := range c.Errors {
		slog.ErrorContext(c.Request.Context(), "request failed", slog.String("method", c.Request.Method), slog.String("route", c.FullPath()), slog.Any("error", err.Err))
	}
}

func refuse(c *gin.Context, status int, err error) {
	c.AbortWithStatusJSON(status, gin.H{"error": err.Error()})
}
