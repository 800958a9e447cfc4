// Package capture takes the before and after images of the rows that one GORM statement writes. It
// wraps GORM's own create, update and delete handlers; the images come from the database.
package capture

import (
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/internal/tx"
)

// Op is what happened to a row.
type Op uint8

// What may happen to a row. SoftDelete and Restore are updates that set or unset the model's
// soft-delete column.
const (
	Insert Op = iota + 1
	Update
	Delete
	SoftDelete
	Restore
)

// Model says what is captured of one table.
type Model struct {
	// Schema is the registered model as parsed with the handle's naming strategy.
	Schema *schema.Schema
	// Columns are the columns of the images; those that the table does not have, or that may not be
	// read, are nil in each image. The primary key and the foreign keys that lead to a
	// target are always among them; excluded columns never.
	Columns []string
	// Owner is for the root package's own use.
	Owner any
}

// Notes of a Change whose images or end are not certain.
const (
	// NoteNoBefore says that the row was there, but how it looked before could not be had.
	NoteNoBefore = "no before image"
	// NoteNoAfter says that the row was changed, but how it looks now could not be had.
	NoteNoAfter = "no after image"
	// NoteUnpaired says that several rows without a primary key changed at once: the images belong to
	// the same statement, maybe not to the same row.
	NoteUnpaired = "images not paired"
	// NoteUnlocked says that the row was read before the statement without a lock, on a database that is
	// not tested: somebody else may have changed it in between.
	NoteUnlocked = "before image not locked"
	// NoteUnobserved says that the change was made in a transaction whose end is not seen: it may have
	// been rolled back.
	NoteUnobserved = "transaction not observed"
)

// Reasons that Hooks.Skipped is given.
const (
	// ReasonRaw is for SQL text that wrote a captured table. The statement has the table only.
	ReasonRaw = "raw SQL"
	// ReasonUnread is for a statement whose rows could not be captured, so that it ran as it was.
	ReasonUnread = "statement not understood"
	// ReasonUnobserved is for changes released before the end of a transaction that is not seen.
	ReasonUnobserved = "transaction not observed"
	// ReasonPool is for a statement that ran through a connection pool that is not known, such as that of
	// gorm.io/sharding, which sends other statements than it is given.
	ReasonPool = "unknown connection pool"
	// ReasonStray is for a text such as BEGIN that leaves a transaction open on any connection of a pool: it is
	// not known which statements run in it, and what they change counts as committed.
	ReasonStray = "transaction begun on a pool"
	// ReasonPanic is for changes that a panic in the root package lost.
	ReasonPanic = "panic"
)

// Change is what happened to one row. Images are raw driver values in the order of Model.Columns.
type Change struct {
	Model *Model
	// Table is the table as the statement names it, with a schema prefix if it has one.
	Table string
	Op    Op
	// Before is nil for Insert, After is nil for Delete. For an Update one of them may be nil if the
	// image could not be had; Note then says why.
	Before, After []any
	// Note is empty, or why the images are not complete ("no before image", …).
	Note string
	// Time is when the statement returned.
	Time time.Time
}

// Summary stands for the changes of a statement that changed more rows than are captured.
type Summary struct {
	Model *Model
	Table string
	Op    Op
	// Rows is how many rows changed; where the rows before were too many to compare with, how many the
	// statement wrote.
	Rows int64
	// Statement is the SQL with placeholders, never with values.
	Statement string
	Time      time.Time
	// InDoubt says that it is not known whether the statement has committed, and so how many rows it wrote:
	// the answer was lost.
	InDoubt bool
}

// Hooks connect the engine to the root package. All are required. They may be called concurrently.
type Hooks struct {
	tx.Hooks
	// Model gives what is captured of the table that st writes, nil if nothing is. It is called for
	// each create, update and delete, so it is fast. For one table it gives the same pointer each time,
	// since the engine keeps what it works out under it. st.Schema may be nil (Table("x") without a
	// model) or of another type; TableName gives the table.
	Model func(st *gorm.Statement) *Model
	// Captured turns the changes of a statement that has succeeded into items for the transaction.
	// summary is nil, or stands for all changes, which are then empty.
	Captured func(st *gorm.Statement, changes []Change, summary *Summary) []tx.Item
	// Skipped counts rows that were written and could not be captured.
	Skipped func(st *gorm.Statement, reason string)
	// Failed is told of an error or panic inside auditing that the application must not see.
	Failed func(st *gorm.Statement, err error)
	// Strict says whether such an error fails a statement that writes the model; of the operations it knows
	// Insert, Update and Delete, by the statement. A nil model means any. Nil means never.
	Strict func(m *Model, op Op) bool
	// InTx says that the sink writes inside the transaction, so that a statement outside one needs a
	// transaction of its own.
	InTx bool
}
