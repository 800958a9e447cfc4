package main

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// The login of this example has two users with known passwords. Yours is your own: the audit module
// only wants to know who it found.

const (
	userKey       = "user" // of the Gin context
	sessionCookie = "crm_session"
)

type user struct {
	ID, Username, FullName string
	Password, Token        string
	// Auditor may see the whole trail.
	Auditor bool
}

func (u *user) actor() audit.Actor {
	return audit.Actor{ID: u.ID, Username: u.Username, FullName: u.FullName}
}

// users knows who may sign in and who has.
type users struct {
	list     []*user
	mu       sync.Mutex
	sessions map[string]*user
}

func newUsers() *users {
	return &users{
		list: []*user{
			{ID: "1", Username: "alice", FullName: "Alice Nguyen", Password: "alice", Token: "crm-demo-token-alice", Auditor: true},
			{ID: "2", Username: "bob", FullName: "Bob Miller", Password: "bob", Token: "crm-demo-token-bob"},
		},
		sessions: make(map[string]*user),
	}
}

// find gives the user whose secret equals the given one.
func (us *users) find(given string, secret func(u *user) string) (*user, bool) {
	for _, u := range us.list {
		if subtle.ConstantTimeCompare([]byte(given), []byte(secret(u))) == 1 {
			return u, true
		}
	}
	return nil, false
}

// of gives the user who makes the request: by Bearer token, or by the session of the login.
func (us *users) of(c *gin.Context) (*user, bool) {
	if header := c.GetHeader("Authorization"); header != "" {
		token, _ := strings.CutPrefix(header, "Bearer ")
		return us.find(token, func(u *user) string { return u.Token })
	}
	us.mu.Lock()
	defer us.mu.Unlock()
	u, ok := us.sessions[sessionOf(c)]
	return u, ok
}

// sessionOf gives the session of the request, a secret.
func sessionOf(c *gin.Context) string {
	session, _ := c.Cookie(sessionCookie)
	return session
}

// signedIn lets only known users through, and says who it is for handlers and for the trail.
func (us *users) signedIn(c *gin.Context) {
	u, ok := us.of(c)
	if !ok {
		c.AbortWithStatusJSON(http.StatusUnauthorized, gin.H{"error": "sign in, or send a Bearer token"})
		return
	}
	c.Set(userKey, u)
}

// login opens a session. That somebody signed in, or tried to, is in the trail as well.
func (us *users) login(db *gorm.DB) gin.HandlerFunc {
	return func(c *gin.Context) {
		var in struct{ Username, Password string }
		if err := c.ShouldBindJSON(&in); err != nil {
			answer(c, 0, badRequestError{err}, nil)
			return
		}
		entry := audit.Entry{Action: "LOGIN", ObjectType: "user", ObjectRepr: in.Username, Message: "Signed in"}
		u, ok := us.find(in.Username+":"+in.Password, func(u *user) string { return u.Username + ":" + u.Password })
		if !ok {
			entry.Outcome, entry.Message = "failure", "Wrong name or password"
			if err := audit.Log(db.WithContext(c.Request.Context()), entry); err != nil {
				_ = c.Error(err)
			}
			c.JSON(http.StatusUnauthorized, gin.H{"error": "wrong name or password"})
			return
		}
		session := rand.Text()
		us.mu.Lock()
		us.sessions[session] = u
		us.mu.Unlock()
		c.SetSameSite(http.SameSiteStrictMode)
		c.SetCookie(sessionCookie, session, 8*60*60, "/", "", false, true)
		c.Set(userKey, u)
		entry.ObjectID = u.ID
		if err := audit.Log(db.WithContext(c.Request.Context()), entry); err != nil {
			_ = c.Error(err)
		}
		c.JSON(http.StatusOK, gin.H{"username": u.Username, "full_name": u.FullName, "token": u.Token})
	}
}

// logout ends the session.
func (us *users) logout(c *gin.Context) {
	us.mu.Lock()
	delete(us.sessions, sessionOf(c))
	us.mu.Unlock()
	c.SetCookie(sessionCookie, "", -1, "/", "", false, true)
	c.Status(http.StatusNoContent)
}
