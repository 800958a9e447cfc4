package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// Article has tags, which are not registered, authors, who are, and related articles.
type Article struct {
	ID       uint
	Title    string
	Tags     []Tag     `gorm:"many2many:article_tags" audit:"label:Tags"`
	Authors  []Author  `gorm:"many2many:article_authors"`
	Related  []Article `gorm:"many2many:article_related"`
	Comments []Remark
}

type Tag struct {
	ID   uint
	Name string
}

type Author struct {
	ID       uint
	Name     string
	Articles []Article `gorm:"many2many:article_authors"`
}

type Remark struct {
	ID        uint
	ArticleID uint
	Tags      []Tag `gorm:"many2many:remark_tags"`
}

// ArticleTag is the join table as the application declares it.
type ArticleTag struct {
	ArticleID uint `gorm:"primaryKey"`
	TagID     uint `gorm:"primaryKey"`
	CreatedAt time.Time
	DeletedAt gorm.DeletedAt
}

func press(t *testing.T) *audit.Registry {
	t.Helper()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Article{}, audit.TrackRelation("Tags", "Authors", "Related")))
	must(t, reg.Register(&Author{}, audit.TrackRelation("Articles")))
	must(t, reg.Register(&Remark{}, audit.Target(&Article{}), audit.TrackRelation("Tags")))
	return reg
}

func TestTrackRelation(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{Registry: press(t)})
		tags := []Tag{{Name: "red"}, {Name: "green"}, {Name: "blue"}}
		must(t, db.Create(&tags).Error)
		rec.expect(t)

		a := Article{Title: "A", Tags: tags[:2]}
		must(t, db.Create(&a).Error)
		rec.expect(t, `ADD article 1 "A"`, `CHANGE article 1 "A" Tags:[]->["red","green"]`)
		must(t, db.Model(&a).Association("Tags").Append(&tags[1], &tags[2])) // one of them is there
		r := rec.only(t)
		if got := line(r); got != `CHANGE article 1 "A" Tags:[]->["blue"]` {
			t.Error(got)
		}
		message := `{"headers":["field","old_value","new_value"],"rows":[{"field":"Tags","old_value":[],"new_value":["blue"]}]}`
		if got := string(r.ChangeMessage.JSON()); got != message || r.Table != "article_tags" || r.UserID != "7" {
			t.Errorf("message %s of table %s", got, r.Table)
		}
		if got, _ := json.Marshal(r.Extra); string(got) != `{"relations":{"Tags":{"added":["3"],"removed":[]}}}` {
			t.Errorf("extra %s", got)
		}
		must(t, db.Model(&a).Association("Tags").Append(&tags[0]))
		rec.expect(t)
		must(t, db.Model(&a).Association("Tags").Delete(&tags[0]))
		rec.expect(t, `CHANGE article 1 "A" Tags:["red"]->[]`)
		// GORM replaces by two statements; in one transaction they are one record.
		must(t, db.Transaction(func(tx *gorm.DB) error { return tx.Model(&a).Association("Tags").Replace(&tags[0], &tags[1]) }))
		rec.expect(t, `CHANGE article 1 "A" Tags:["blue"]->["red"]`)
		// There and back again is nothing, and what is rolled back neither.
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Model(&a).Association("Tags").Append(&tags[2]))
			must(t, tx.Model(&a).Association("Tags").Delete(&tags[2]))
			_ = tx.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Model(&a).Association("Tags").Clear())
				return errors.New("undone")
			})
			return nil
		}))
		rec.expect(t)
		// By the name of the table, without any model.
		must(t, db.Table("article_tags").Create(map[string]any{"article_id": a.ID, "tag_id": tags[2].ID}).Error)
		rec.expect(t, `CHANGE article 1 "A" Tags:[]->["blue"]`)
		must(t, db.Table("article_tags").Where("tag_id = ?", tags[2].ID).Update("tag_id", 99).Error)
		rec.expect(t, `CHANGE article 1 "A" Tags:["blue"]->["tag 99"]`)
		// A tag that is deleted by hand keeps its name in the record only if it is in the database still.
		must(t, db.Model(&a).Association("Tags").Clear())
		if r := rec.only(t); string(r.Changes[0].New) != "[]" || !strings.Contains(string(r.Changes[0].Old), `"tag 99"`) || len(r.Extra[audit.ExtraRelations].(map[string]any)) != 1 {
			t.Error(line(r))
		}

		// Both sides track one join table.
		ann := Author{Name: "Ann"}
		must(t, db.Model(&a).Association("Authors").Append(&ann))
		rec.expect(t, `ADD author 1 "Ann"`, `CHANGE article 1 "A" Authors:[]->["Ann"]`, `CHANGE author 1 "Ann" Articles:[]->["A"]`)

		// A relation to itself.
		b := Article{Title: "B", Related: []Article{a}}
		must(t, db.Omit("Related.*").Create(&b).Error)
		rec.expect(t, `ADD article 2 "B"`, `CHANGE article 2 "B" Related:[]->["A"]`)

		// Of a dependent it is in its parent's history.
		c := Remark{ArticleID: a.ID}
		must(t, db.Create(&c).Error)
		rec.take()
		must(t, db.Model(&c).Association("Tags").Append(&tags[0]))
		rec.expect(t, `CHANGE article 1 "A" from remark 1 "remark 1" Tags:[]->["red"]`)

		// Raw SQL is counted.
		must(t, db.Exec("DELETE FROM remark_tags").Error)
		if n := audit.From(db).Stats().Skipped["remark_tags"]["raw SQL"]; n != 1 {
			t.Errorf("%d raw statements counted, want 1", n)
		}
	})
}

func TestTrackRelation_deletedOwner_isOneRecord(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{Registry: press(t)})
		a := Article{Title: "A", Tags: []Tag{{Name: "red"}, {Name: "green"}}}
		b := Article{Title: "B", Tags: a.Tags}
		must(t, db.Create(&a).Error)
		b.Tags = a.Tags
		must(t, db.Create(&b).Error)
		rec.take()
		must(t, db.Select("Tags").Delete(&a).Error)
		rec.expect(t, `DELETE article 1 "A" cascaded:map[tags:2]`)
		// Those of another owner stay.
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Model(&b).Association("Tags").Clear())
			return tx.Delete(&Article{ID: a.ID + 7}).Error
		}))
		rec.expect(t, `CHANGE article 2 "B" Tags:["red","green"]->[]`)
	})
}

func TestTrackRelation_batchesAndManyOwners(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{Registry: press(t)})
		red := Tag{Name: "red"}
		must(t, db.Create(&red).Error)
		var articles []Article
		for i := range 30 {
			articles = append(articles, Article{Title: fmt.Sprint(i)})
		}
		must(t, db.Create(&articles).Error)
		rec.take()
		b, err := audit.StartBatch(db, audit.BatchOptions{Action: "TAG", Always: true})
		must(t, err)
		must(t, db.WithContext(b.Context()).Transaction(func(tx *gorm.DB) error {
			for i := range articles {
				must(t, tx.Model(&articles[i]).Association("Tags").Append(&red))
			}
			return nil
		}))
		must(t, b.End())
		records := rec.take()
		if s := records[len(records)-1]; len(records) != 31 || s.TotalProcessed != 30 || records[7].BatchID != b.ID() || records[7].ObjectRepr != "7" {
			t.Errorf("%s%+v", lines(records), s)
		}
		// What a batch does and what is done beside it are two records, whatever the transaction.
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Model(&articles[0]).Association("Tags").Append(&Tag{Name: "green"}))
			return tx.WithContext(b.Context()).Model(&articles[0]).Association("Tags").Delete(&red)
		}))
		records = rec.take()
		if len(records) != 2 || records[0].BatchID != "" || records[1].BatchID != b.ID() || line(records[0]) != `CHANGE article 1 "0" Tags:[]->["green"]` {
			t.Error(lines(records))
		}
	})
}

// TestTrackRelation_declaredJoinTable has a join table whose rows are marked as deleted.
func TestTrackRelation_declaredJoinTable(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		must(t, plain.SetupJoinTable(&Article{}, "Tags", &ArticleTag{}))
		db, rec := setup(t, plain, audit.Config{Registry: press(t)})
		a := Article{Title: "A", Tags: []Tag{{Name: "red"}}}
		must(t, db.Create(&a).Error)
		rec.expect(t, `ADD article 1 "A"`, `CHANGE article 1 "A" Tags:[]->["red"]`)
		must(t, db.Where("tag_id = 1").Delete(&ArticleTag{}).Error)
		rec.expect(t, `CHANGE article 1 "A" Tags:["red"]->[]`)
		must(t, db.Unscoped().Model(&ArticleTag{}).Where("tag_id = 1").Update("deleted_at", nil).Error)
		rec.expect(t, `CHANGE article 1 "A" Tags:[]->["red"]`)
		must(t, db.Model(&ArticleTag{}).Where("tag_id = 1").Update("created_at", time.Unix(1e9, 0)).Error)
		rec.expect(t)
	})
}

func TestTrackRelation_offByDefaultAndMistakes(t *testing.T) {
	t.Parallel()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Article{}))
	db, rec := setup(t, open(t, openers[0].open(t), &gorm.Config{}), audit.Config{Registry: reg})
	must(t, db.Create(&Article{Title: "A", Tags: []Tag{{Name: "red"}}}).Error)
	rec.expect(t, `ADD article 1 "A"`)

	reg = audit.NewRegistry()
	must(t, reg.Register(&Article{}, audit.TrackRelation("Title", "Comments", "Tags")))
	must(t, reg.Register(&ArticleTag{}))
	err := open(t, openers[0].open(t), &gorm.Config{}).Use(audit.New(audit.Config{Registry: reg, Sink: &recorder{}}))
	for _, want := range []string{
		`TrackRelation names "Title", which is no many-to-many relation`, `TrackRelation names "Comments", which is no many-to-many relation`,
		`TrackRelation names "Tags", whose join table "article_tags" is registered as audit_test.ArticleTag`,
	} {
		if !errors.Is(err, audit.ErrRegistration) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
