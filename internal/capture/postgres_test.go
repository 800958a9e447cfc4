package capture_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/testservers"
)

// pgTable opens a schema with the statements run, and captures the models.
func pgTable(t *testing.T, r *recorder, ddl []string, models ...any) *gorm.DB {
	t.Helper()
	db := openPostgres(t, &gorm.Config{})
	for _, q := range ddl {
		if err := db.Exec(q).Error; err != nil {
			t.Fatalf("%v: %s", err, q)
		}
	}
	r.register(t, db, models...)
	if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
		t.Fatal(err)
	}
	return db
}

func wantOps(t *testing.T, r *recorder, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, r.ops()); diff != "" {
		t.Errorf("%s\nfailed %v, skipped %v", diff, r.failed, r.skipped)
	}
}

const thingsDDL = `CREATE TABLE things (id bigserial PRIMARY KEY, code text UNIQUE, kind text DEFAULT 'basic', rank bigint DEFAULT 7, rate numeric(10,2))`

// What triggers do before the write is in the images.
func TestPostgres_beforeTriggers_areInTheImages(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := pgTable(t, r, []string{
		thingsDDL,
		`CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN
			IF TG_OP = 'DELETE' THEN IF OLD.code = 'keep' THEN RETURN NULL; END IF; RETURN OLD; END IF;
			NEW.kind := upper(NEW.kind); RETURN NEW; END $$ LANGUAGE plpgsql`,
		`CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON things FOR EACH ROW EXECUTE FUNCTION f()`,
	}, &Thing{})
	db.Create(&Thing{Code: "a", Kind: "x"})
	db.Model(&Thing{ID: 1}).Update("kind", "y")
	db.Model(&Thing{ID: 1}).Update("kind", "y")
	db.Create(&Thing{Code: "keep"})
	tx := db.Where("id > 0").Delete(&Thing{})
	if tx.RowsAffected != 1 {
		t.Error(tx.RowsAffected)
	}
	wantOps(t, r, "insert things 1", "update things 1", "insert things 2", "delete things 1")
	if c := r.changes(); c[0].After["kind"] != "X" || c[1].Before["kind"] != "X" || c[1].After["kind"] != "Y" {
		t.Error(c)
	}
}

func TestPostgres_generatedColumn_isInTheImages(t *testing.T) {
	t.Parallel()
	type Gen struct {
		ID     uint
		Amount int
		Double int `gorm:"->"`
	}
	r := &recorder{}
	db := pgTable(t, r, []string{`CREATE TABLE gens (id bigserial PRIMARY KEY, amount bigint, double bigint GENERATED ALWAYS AS (amount * 2) STORED)`}, &Gen{})
	db.Create(&Gen{Amount: 2})
	db.Model(&Gen{ID: 1}).Update("amount", 3)
	wantOps(t, r, "insert gens 1", "update gens 1")
	if c := r.changes()[1]; c.Before["double"] != "4" || c.After["double"] != "6" {
		t.Error(c)
	}
}

func TestPostgres_partitionedTable(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := pgTable(t, r, []string{
		`CREATE TABLE pairs (a bigint, b text, v bigint, PRIMARY KEY (a, b)) PARTITION BY RANGE (a)`,
		`CREATE TABLE pairs_low PARTITION OF pairs FOR VALUES FROM (0) TO (10)`,
		`CREATE TABLE pairs_high PARTITION OF pairs FOR VALUES FROM (10) TO (20)`,
	}, &Pair{})
	db.Create(&Pair{A: 1, B: "x", V: 1})
	db.Model(&Pair{A: 1, B: "x"}).Update("v", 2)
	db.Model(&Pair{A: 1, B: "x"}).Update("a", 11) // to the other partition
	db.Save(&Pair{A: 11, B: "x", V: 5})
	db.Clauses(clause.OnConflict{UpdateAll: true}).Create(&[]Pair{{A: 11, B: "x", V: 6}, {A: 2, B: "n", V: 1}})
	db.Delete(&Pair{A: 11, B: "x"})
	wantOps(t, r, "insert pairs 1 x", "update pairs 1 x", "update pairs 11 x", "update pairs 11 x", "update pairs 11 x", "insert pairs 2 n", "delete pairs 11 x")
	if len(r.failed)+len(r.skipped) > 0 {
		t.Error(r.failed, r.skipped)
	}
}

func TestPostgres_views(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := pgTable(t, r, []string{
		strings.Replace(thingsDDL, "things", "real_things", 1),
		`CREATE VIEW things AS SELECT * FROM real_things WHERE rank < 100`,
	}, &Thing{})
	db.Create(&Thing{Code: "a"})
	db.Model(&Thing{ID: 1}).Update("kind", "y")
	db.Delete(&Thing{ID: 1})
	wantOps(t, r, "insert things 1", "update things 1", "delete things 1")
}

// A view that cannot be locked: the write works as without auditing, in a transaction too.
func TestPostgres_statementThatCannotBeExtended_runsAsItIs(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]*gorm.Config{"default": {}, "skip": {SkipDefaultTransaction: true}} {
		for _, inTx := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " in transaction ", inTx), func(t *testing.T) {
				t.Parallel()
				r := &recorder{inTx: inTx}
				db := openPostgres(t, cfg)
				for _, q := range []string{
					strings.Replace(thingsDDL, "things", "real_things", 1),
					`INSERT INTO real_things (code, rank) VALUES ('a', 1), ('b', 2)`,
					`CREATE VIEW things AS SELECT max(id) AS id, code, max(kind) AS kind, max(rank) AS rank, max(rate) AS rate FROM real_things GROUP BY code`,
					`CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN UPDATE real_things SET rank = NEW.rank WHERE code = NEW.code; RETURN NEW; END $$ LANGUAGE plpgsql`,
					`CREATE TRIGGER t INSTEAD OF UPDATE ON things FOR EACH ROW EXECUTE FUNCTION f()`,
				} {
					if err := db.Exec(q).Error; err != nil {
						t.Fatalf("%v: %s", err, q)
					}
				}
				r.register(t, db, &Thing{})
				if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
					t.Fatal(err)
				}
				for i := range 4 {
					tx := db.Model(&Thing{}).Where("code = ?", "a").Update("rank", 50+i)
					if tx.Error != nil || tx.RowsAffected != 1 {
						t.Fatal(tx.Error, tx.RowsAffected)
					}
				}
				if len(r.skipped) != 4 || len(r.failed) != 2 || len(r.ops()) != 0 {
					t.Errorf("skipped %v, failed %v, ops %v", r.skipped, r.failed, r.ops())
				}
				var rank int
				db.Raw("SELECT rank FROM real_things WHERE code = 'a'").Scan(&rank)
				if rank != 53 {
					t.Error(rank)
				}
			})
		}
	}
}

// A column that another program drops costs one record at most, never the write.
func TestPostgres_columnDroppedMeanwhile_writeSurvives(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := pgTable(t, r, []string{thingsDDL}, &Thing{})
	sqlDB, _ := db.DB()
	db.Session(&gorm.Session{SkipDefaultTransaction: true}).Create(&Thing{Code: "a"})
	if _, err := sqlDB.Exec("ALTER TABLE things DROP COLUMN rate"); err != nil {
		t.Fatal(err)
	}
	s := db.Session(&gorm.Session{SkipDefaultTransaction: true})
	for i := range 3 {
		if err := s.Model(&Thing{ID: 1}).Update("rank", 50+i).Error; err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Transaction(func(tx *gorm.DB) error { return tx.Model(&Thing{ID: 1}).Update("rank", 9).Error }); err != nil {
		t.Error(err)
	}
	if got := len(r.ops()); got < 4 {
		t.Errorf("%d changes: %v", got, r.ops())
	}
}

// Columns that the role may not read are left out; a table of which it may read nothing is counted.
func TestPostgres_privileges(t *testing.T) {
	t.Parallel()
	dsn := testservers.PostgresSchema(t)
	admin := open(t, postgres.Open(dsn), &gorm.Config{})
	role := testservers.Name(t, "t_role_")
	for _, q := range []string{
		thingsDDL, `CREATE TABLE docs (id text PRIMARY KEY, body bytea, "order" bigint, "table" text)`,
		"CREATE ROLE " + role, `DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO ` + role + `', current_schema()); END $$`,
		"GRANT INSERT, UPDATE, DELETE ON things TO " + role, "GRANT SELECT (id, code, rank) ON things TO " + role,
		"GRANT USAGE ON SEQUENCE things_id_seq TO " + role, "GRANT INSERT ON docs TO " + role,
		"INSERT INTO things (code, kind) VALUES ('a', 'secret')",
	} {
		if err := admin.Exec(q).Error; err != nil {
			t.Fatalf("%v: %s", err, q)
		}
	}
	t.Cleanup(func() {
		if err := admin.Exec("DROP OWNED BY " + role + "; DROP ROLE " + role).Error; err != nil {
			t.Error(err)
		}
	})
	r := &recorder{}
	db := open(t, postgres.Open(dsn+" role="+role), &gorm.Config{})
	r.register(t, db, &Thing{}, &Doc{})
	if err := capture.Install(db, r.hooks(), capture.Config{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Model(&Thing{ID: 1}).Update("rank", 3).Error; err != nil {
		t.Error(err)
	}
	if err := db.Model(&Thing{ID: 1}).Update("kind", "hidden").Error; err != nil {
		t.Error(err)
	}
	if err := db.Create(&Doc{ID: "d"}).Error; err != nil {
		t.Error(err)
	}
	wantOps(t, r, "update things 1")
	if diff := cmp.Diff([]string{capture.ReasonUnread}, r.skipped); diff != "" {
		t.Error(diff)
	}
}

func TestPostgres_schemaPrefix(t *testing.T) {
	t.Parallel()
	dsn := testservers.PostgresSchema(t)
	admin := open(t, postgres.Open(dsn), &gorm.Config{})
	schema := testservers.Name(t, "t_other_")
	t.Cleanup(func() { admin.Exec("DROP SCHEMA " + schema + " CASCADE") })
	for _, q := range []string{
		"CREATE SCHEMA " + schema, thingsDDL, strings.Replace(thingsDDL, "things", schema+".things", 1),
		"INSERT INTO things (code) VALUES ('wrong')",
	} {
		if err := admin.Exec(q).Error; err != nil {
			t.Fatalf("%v: %s", err, q)
		}
	}
	r := &recorder{}
	r.register(t, admin, &Thing{})
	if err := capture.Install(admin, r.hooks(), capture.Config{}); err != nil {
		t.Fatal(err)
	}
	db := admin.Table(schema + ".things").Session(&gorm.Session{})
	steps := []*gorm.DB{
		db.Create(&Thing{Code: "a"}),
		db.Where("id = ?", 1).Updates(map[string]any{"rank": 5}),
		db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"rank"})}).Create(&Thing{Code: "a", Rank: 6}),
		db.Delete(&Thing{ID: 1}),
	}
	for _, s := range steps {
		if s.Error != nil {
			t.Error(s.Error)
		}
	}
	table := schema + ".things"
	wantOps(t, r, "insert "+table+" 1", "update "+table+" 1", "update "+table+" 1", "delete "+table+" 1")
	for _, c := range r.changes() {
		if c.Before["code"] == "wrong" || c.After["code"] == "wrong" {
			t.Error("the row of another schema", c)
		}
	}
}

// waitBlocked waits until a session waits for another's lock.
func waitBlocked(t *testing.T, db *gorm.DB, query string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		var n int64
		if err := db.Raw("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE ?", "%"+query+"%").Scan(&n).Error; err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("nothing waits for a lock")
}

// Another transaction adds the key between our look and our INSERT: the row was changed, not added.
func TestPostgres_upsertRace_isNoAddedRow(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	code := testservers.Name(t, "race_")
	db := pgTable(t, r, []string{thingsDDL}, &Thing{})
	plain := db.Session(&gorm.Session{})
	delete(r.models, "things")
	other := plain.Begin()
	if err := other.Exec("INSERT INTO things (code, rank) VALUES (?, 1)", code).Error; err != nil {
		t.Fatal(err)
	}
	r.register(t, db, &Thing{})
	done := make(chan error)
	go func() {
		done <- db.Model(&Thing{}).Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "code"}}, DoUpdates: clause.AssignmentColumns([]string{"rank"}),
		}, clause.Insert{Modifier: "/*" + code + "*/"}).Create(&Thing{Code: code, Rank: 2}).Error
	}()
	waitBlocked(t, plain, code+"*/")
	if err := other.Commit().Error; err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantOps(t, r, "update things 1 (no before image)")
}

// A row that another transaction changes while we wait for it: the same rows are updated as without
// capture, from the values that the other left.
func TestPostgres_updateThatWaits_seesTheOthersValues(t *testing.T) {
	t.Parallel()
	for name, captured := range map[string]bool{"plain": false, "captured": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			mark := testservers.Name(t, "wait_")
			db := pgTable(t, r, []string{thingsDDL, `INSERT INTO things (code, rank) VALUES ('a', 1), ('b', 1), ('c', 5)`}, &Thing{})
			if !captured {
				delete(r.models, "things")
			}
			other := db.Begin()
			for _, q := range []string{"UPDATE things SET rank = 5 WHERE code = 'a'", "UPDATE things SET rank = 2 WHERE code = 'b'", "UPDATE things SET rank = 1 WHERE code = 'c'"} {
				if err := other.Exec(q).Error; err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan *gorm.DB)
			go func() {
				done <- db.Model(&Thing{}).Where("rank < 4 AND '"+mark+"' <> ''").Update("rank", gorm.Expr("rank + 10"))
			}()
			waitBlocked(t, db, mark)
			other.Commit()
			tx := <-done
			// a is no more < 4; b still is; c was not when the statement began.
			if tx.Error != nil || tx.RowsAffected != 1 {
				t.Error(tx.Error, tx.RowsAffected)
			}
			if captured {
				wantOps(t, r, "update things 2")
				if c := r.changes()[0]; c.Before["rank"] != "2" || c.After["rank"] != "12" {
					t.Error(c)
				}
			}
		})
	}
}

// A constraint that only the database knows.
func TestPostgres_constraintByDDL_isKnown(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	db := pgTable(t, r, []string{
		thingsDDL, "ALTER TABLE things ADD CONSTRAINT own UNIQUE (kind, rank)",
		"INSERT INTO things (code, kind, rank) VALUES ('a', 'x', 1)", "CREATE UNIQUE INDEX things_upper ON things (upper(code))",
	}, &Thing{})
	if err := db.Clauses(clause.OnConflict{OnConstraint: "own", DoUpdates: clause.AssignmentColumns([]string{"rate"})}).
		Create(&[]Thing{{Code: "b", Kind: "x", Rank: 1, Rate: 3}, {Code: "c", Kind: "y", Rank: 1}}).Error; err != nil {
		t.Fatal(err)
	}
	// An expression as the key: whether the row was added is known, how it was before is not.
	if err := db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "upper(code)", Raw: true}}, DoUpdates: clause.AssignmentColumns([]string{"rate"})}).
		Create(&[]Thing{{Code: "A", Rank: 70, Rate: 4}, {Code: "D", Rank: 71}}).Error; err != nil {
		t.Fatal(err)
	}
	ops := r.ops()
	if len(ops) != 4 || ops[0] != "update things 1" || !strings.HasPrefix(ops[1], "insert") ||
		ops[2] != "update things 1 (no before image)" || !strings.HasPrefix(ops[3], "insert") {
		t.Error(ops, r.failed, r.skipped)
	}
}

func TestPostgres_specialValues_areNoChange(t *testing.T) {
	t.Parallel()
	type Special struct {
		ID  uint
		F   float64 `gorm:"type:float8"`
		N   string  `gorm:"type:numeric"`
		J   string  `gorm:"type:json"`
		T   string  `gorm:"type:timestamptz"`
		Set string
	}
	r := &recorder{}
	db := pgTable(t, r, []string{
		`CREATE TABLE specials (id bigserial PRIMARY KEY, f float8, n numeric, j json, t timestamptz, set text)`,
		`INSERT INTO specials VALUES (1, 'NaN', 'NaN', '{"a": 1, "b": 2}', 'infinity', 'x')`,
	}, &Special{})
	db.Model(&Special{ID: 1}).Updates(map[string]any{"f": gorm.Expr("'NaN'::float8"), "j": `{"b":2,"a":1}`, "set": "x"})
	db.Model(&Special{ID: 1}).Updates(map[string]any{"set": "y"})
	db.Delete(&Special{ID: 1})
	wantOps(t, r, "update specials 1", "delete specials 1")
}

// The same race on tables and views that have no xmax.
func TestPostgres_upsertRace_withoutXmax(t *testing.T) {
	t.Parallel()
	for name, ddl := range map[string][]string{
		"partitioned": {"CREATE TABLE pairs (a bigint, b text, v bigint, PRIMARY KEY (a, b)) PARTITION BY RANGE (a)", "CREATE TABLE pairs_all PARTITION OF pairs FOR VALUES FROM (0) TO (100)"},
		"partition":   {"CREATE TABLE all_pairs (a bigint, b text, v bigint, PRIMARY KEY (a, b)) PARTITION BY RANGE (a)", "CREATE TABLE pairs PARTITION OF all_pairs FOR VALUES FROM (0) TO (100)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{}
			mark := testservers.Name(t, "race_")
			db := pgTable(t, r, ddl, &Pair{})
			db.Create(&Pair{A: 1, B: "there", V: 1})
			sqlDB, err := db.DB()
			if err != nil {
				t.Fatal(err)
			}
			other, err := sqlDB.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.ExecContext(t.Context(), "INSERT INTO pairs VALUES (2, 'it''s', 1)"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() {
				done <- db.Clauses(clause.OnConflict{UpdateAll: true}, clause.Insert{Modifier: "/*" + mark + "*/"}).
					Create(&[]Pair{{A: 1, B: "there", V: 2}, {A: 3, B: "new", V: 2}, {A: 2, B: "it's", V: 2}, {A: 4, B: "newer", V: 2}}).Error
			}()
			waitBlocked(t, db, mark+"*/")
			if err := other.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			wantOps(t, r, "insert pairs 1 there", "update pairs 1 there", "insert pairs 3 new", "update pairs 2 it's (no before image)", "insert pairs 4 newer")
			r.reset()
			err = db.Transaction(func(tx *gorm.DB) error {
				for range 2 { // what was noted before counts no more
					if err := tx.Save(&Pair{A: 7, B: "x", V: 1}).Error; err != nil {
						return err
					}
					if err := tx.Save(&Pair{A: 7, B: "x", V: 2}).Error; err != nil {
						return err
					}
					if err := tx.Delete(&Pair{A: 7, B: "x"}).Error; err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			wantOps(t, r, "insert pairs 7 x", "update pairs 7 x", "delete pairs 7 x", "insert pairs 7 x", "update pairs 7 x", "delete pairs 7 x")
		})
	}
}
