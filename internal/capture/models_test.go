package capture_test

import (
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/oracle"
)

type Company struct {
	ID        uint
	Name      string
	Customers []Customer
}

type Customer struct {
	ID        uint
	CreatedAt time.Time
	UpdatedAt time.Time
	Name      string
	Email     *string `gorm:"uniqueIndex;size:100"`
	Age       int
	Score     float64
	Balance   string `gorm:"type:numeric(10,2);default:0"`
	Note      sql.NullString
	Active    bool              `gorm:"default:true"`
	Settings  map[string]string `gorm:"serializer:json"`
	Address   Address           `gorm:"embedded;embeddedPrefix:address_"`
	CompanyID *uint
	Company   *Company
	Profile   *Profile
	Orders    []Order
	Tags      []Tag `gorm:"many2many:customer_tags"`
	Toys      []Toy `gorm:"polymorphic:Owner"`
	DeletedAt gorm.DeletedAt
}

type Address struct {
	City string
	Zip  *string
}

type Profile struct {
	ID         uint
	CustomerID *uint
	Bio        string
}

type Order struct {
	ID         uint
	CustomerID *uint
	Title      string
	Amount     int
	UpdatedAt  int64 `gorm:"autoUpdateTime:milli"`
}

type Tag struct {
	ID   uint
	Name string `gorm:"unique;size:100"`
}

type Toy struct {
	ID        uint
	Name      string
	OwnerID   uint
	OwnerType string
}

// Doc has a primary key that the application makes.
type Doc struct {
	ID    string `gorm:"primaryKey;size:100"`
	Body  []byte
	Order int    // a reserved word
	Table string `gorm:"column:table"`
}

// Pair has a composite primary key.
type Pair struct {
	A int    `gorm:"primaryKey;autoIncrement:false"`
	B string `gorm:"primaryKey;size:100"`
	V int
}

// Line has no primary key.
type Line struct {
	Place int
	Text  string
}

func (Line) TableName() string { return "notes" }

// Thing has defaults of the database and a unique constraint.
type Thing struct {
	ID   uint
	Code string  `gorm:"unique;size:100"`
	Kind string  `gorm:"default:'basic';size:100"`
	Rank int     `gorm:"default:7"`
	Rate float64 `gorm:"type:numeric(10,2)"`
}

// Hooked changes itself before it is written.
type Hooked struct {
	ID    uint
	Name  string
	Steps string
}

func (h *Hooked) BeforeCreate(*gorm.DB) error { h.Steps += "c"; return nil }
func (h *Hooked) BeforeUpdate(tx *gorm.DB) error {
	tx.Statement.SetColumn("Steps", h.Steps+"u")
	return nil
}

func (h *Hooked) BeforeDelete(tx *gorm.DB) error {
	return tx.Create(&Line{Place: 99, Text: "deleted"}).Error
}

func (h *Hooked) AfterUpdate(*gorm.DB) error {
	if h.Name == "refused" {
		return errors.New("refused by a hook")
	}
	return nil
}

// Zero is a row whose soft delete is not NULL while it lives.
type Zero struct {
	ID        uint
	Name      string
	DeletedAt gorm.DeletedAt `gorm:"zeroValue:'1970-01-01 00:00:01';default:'1970-01-01 00:00:01';not null"`
}

// CustomerPart is another struct on the table of Customer.
type CustomerPart struct {
	Name string
	Age  int
}

// Asset has the kinds of columns that need care: a UUID of its own type as key, JSON in all its forms,
// serializers, an embedded pointer, and times that GORM sets as numbers.
type Asset struct {
	ID        UUID     `gorm:"type:char(36);primaryKey"`
	Meta      Document `gorm:"type:json"`
	Extra     []string `gorm:"serializer:json"`
	Blob      []string `gorm:"serializer:gob"`
	Seen      int64    `gorm:"serializer:unixtime;type:timestamp NULL"`
	Place     *Place   `gorm:"embedded;embeddedPrefix:place_"`
	Level     *Level   `gorm:"size:20"`
	Data      []byte
	At        time.Time `gorm:"precision:3"`
	CreatedAt int64     `gorm:"autoCreateTime:nano"`
	UpdatedAt int64     `gorm:"autoUpdateTime:nano"`
}

// Place is embedded by pointer.
type Place struct {
	Room  string
	Shelf *int
}

// UUID is a key that the application makes.
type UUID [16]byte

// Value implements driver.Valuer.
func (u UUID) Value() (driver.Value, error) {
	h := hex.EncodeToString(u[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}

// Scan implements sql.Scanner.
func (u *UUID) Scan(v any) error {
	_, err := hex.Decode(u[:], []byte(strings.ReplaceAll(oracle.Word(v), "-", "")))
	return err
}

// Document is JSON as text.
type Document string

// Value implements driver.Valuer.
func (d Document) Value() (driver.Value, error) {
	if d == "" {
		return nil, nil
	}
	return string(d), nil
}

// Scan implements sql.Scanner.
func (d *Document) Scan(v any) error {
	*d = ""
	if v != nil {
		*d = Document(oracle.Word(v))
	}
	return nil
}

// Level is a word in the database and a number in Go.
type Level int

// Value implements driver.Valuer.
func (l Level) Value() (driver.Value, error) { return [...]string{"low", "high"}[l], nil }

// Scan implements sql.Scanner.
func (l *Level) Scan(v any) error {
	*l = Level(slices.Index([]string{"low", "high"}, oracle.Word(v)))
	return nil
}

// Label and Member belong to each other through a join table that the application declares.
type Label struct {
	ID      uint
	Name    string
	Members []Member `gorm:"many2many:label_members"`
}

type Member struct {
	ID     uint
	Name   string
	Boss   *Member // belongs to one of its own table
	BossID *uint
}

// CustomerTag is the join table of Customer and Tag as a struct of the application.
type CustomerTag struct {
	CustomerID uint `gorm:"primaryKey;autoIncrement:false"`
	TagID      uint `gorm:"primaryKey;autoIncrement:false"`
}

var allModels = []any{
	&Company{}, &Customer{}, &Profile{}, &Order{}, &Tag{}, &Toy{}, &Doc{}, &Pair{}, &Line{}, &Thing{}, &Hooked{}, &Zero{},
	&Asset{}, &Member{}, &Label{},
}

var allTables = []oracle.Table{
	{Name: "companies", Keys: []string{"id"}},
	{Name: "customers", Keys: []string{"id"}, Documents: []string{"settings"}, Soft: "deleted_at"},
	{Name: "profiles", Keys: []string{"id"}},
	{Name: "orders", Keys: []string{"id"}},
	{Name: "tags", Keys: []string{"id"}},
	{Name: "customer_tags", Keys: []string{"customer_id", "tag_id"}},
	{Name: "toys", Keys: []string{"id"}},
	{Name: "docs", Keys: []string{"id"}},
	{Name: "pairs", Keys: []string{"a", "b"}},
	{Name: "notes"},
	{Name: "things", Keys: []string{"id"}},
	{Name: "hookeds", Keys: []string{"id"}},
	{Name: "zeros", Keys: []string{"id"}, Soft: "deleted_at", Alive: "1970-01-01T00:00:01Z"},
	{Name: "assets", Keys: []string{"id"}, Documents: []string{"meta", "extra"}},
	{Name: "members", Keys: []string{"id"}},
	{Name: "labels", Keys: []string{"id"}},
	{Name: "label_members", Keys: []string{"label_id", "member_id"}},
}

// seed is what is in the tables before each call.
var seed = []string{
	`INSERT INTO companies (id, name) VALUES (1, 'Acme'), (2, 'Bolt')`,
	`INSERT INTO customers (id, created_at, updated_at, name, email, age, score, balance, note, active, settings, address_city, company_id, deleted_at) VALUES
		(1, '2026-01-01 00:00:00', '2026-01-01 00:00:00', 'ann', 'ann@example.com', 30, 1.5, 10.25, 'n', TRUE, '{"a":"1","b":"2"}', 'Oslo', 1, NULL),
		(2, '2026-01-01 00:00:00', '2026-01-01 00:00:00', 'bob', 'bob@example.com', 40, 2.5, 20.5, NULL, TRUE, NULL, 'Rome', NULL, NULL),
		(3, '2026-01-01 00:00:00', '2026-01-01 00:00:00', 'cid', NULL, 50, 3.5, 30, NULL, FALSE, NULL, NULL, NULL, NULL),
		(4, '2026-01-01 00:00:00', '2026-01-01 00:00:00', 'dot', NULL, 60, 4.5, 0, NULL, TRUE, NULL, NULL, NULL, '2026-01-01 00:00:00')`,
	`INSERT INTO profiles (id, customer_id, bio) VALUES (1, 1, 'first')`,
	`INSERT INTO orders (id, customer_id, title, amount, updated_at) VALUES (1, 1, 'pen', 5, 1), (2, 1, 'ink', 7, 1), (3, 2, 'pad', 9, 1)`,
	`INSERT INTO tags (id, name) VALUES (1, 'red'), (2, 'blue')`,
	`INSERT INTO customer_tags (customer_id, tag_id) VALUES (1, 1)`,
	`INSERT INTO toys (id, name, owner_id, owner_type) VALUES (1, 'car', 1, 'customers')`,
	`INSERT INTO docs (id, body, "order", "table") VALUES ('d1', 'x', 1, 't'), ('d2', NULL, 2, 'u')`,
	`INSERT INTO pairs (a, b, v) VALUES (1, 'x', 10), (1, 'y', 11), (2, 'x', 12)`,
	`INSERT INTO notes (place, text) VALUES (1, 'one'), (2, 'two'), (2, 'two'), (3, 'three')`,
	`INSERT INTO things (id, code, kind, "rank", rate) VALUES (1, 'k1', 'basic', 7, 1.25), (2, 'k2', 'rare', 8, 2.5)`,
	`INSERT INTO hookeds (id, name, steps) VALUES (1, 'h', 's')`,
	`INSERT INTO zeros (id, name) VALUES (1, 'z'), (2, 'y')`,
	`INSERT INTO assets (id, meta, extra, seen, place_room, place_shelf, level, at, created_at, updated_at) VALUES
		('00000000-0000-0000-0000-000000000001', '{"b": 1, "a": [1, 2.50]}', '["x"]', '2026-01-02 03:04:05', 'hall', 3, 'low', '2026-01-02 03:04:05', 5, 5),
		('00000000-0000-0000-0000-000000000002', NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-02 03:04:05.678', 5, 5)`,
	`INSERT INTO members (id, name) VALUES (1, 'm1'), (2, 'm2')`,
	`INSERT INTO labels (id, name) VALUES (1, 'l1'), (2, 'l2')`,
	`INSERT INTO label_members (label_id, member_id) VALUES (1, 1)`,
}
