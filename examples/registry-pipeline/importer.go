package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// importRelease makes the table what the release says, one transaction for each country, and gives the
// id of the audit batch that it was. Nothing here knows of auditing but the batch: the changes are
// recorded because the handle has the plugin.
func importRelease(ctx context.Context, db *gorm.DB, version string, release []Subdivision) (batchID string, err error) {
	options := audit.BatchOptions{
		Action: audit.ActionImport, Model: &Subdivision{},
		Extra: audit.Fields{"import_source": "pycountry " + version, "import_rows": len(release)},
	}
	err = audit.RunBatch(db.WithContext(ctx), options, func(ctx context.Context, batch *audit.Batch) error {
		batchID = batch.ID()
		var stored []Subdivision
		if err := db.WithContext(ctx).Find(&stored).Error; err != nil {
			return err
		}
		before, after := byCountry(stored), byCountry(release)
		countries := maps.Clone(before)
		maps.Copy(countries, after)
		for _, country := range slices.Sorted(maps.Keys(countries)) {
			err := db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
				return importCountry(tx, before[country], after[country])
			})
			if err != nil {
				return fmt.Errorf("registry: import of %s %s: %w", version, country, err)
			}
		}
		return nil
	})
	return batchID, err
}

// importCountry deletes, updates and creates what differs.
func importCountry(tx *gorm.DB, before, after []Subdivision) error {
	old := byCode(before)
	var fresh []Subdivision
	for _, n := range after {
		o, found := old[n.Code]
		delete(old, n.Code)
		switch {
		case !found:
			fresh = append(fresh, n)
		case len(fieldChanges(o, n)) > 0:
			if err := tx.Model(&o).Select("Name", "Type", "Parent").Updates(n).Error; err != nil {
				return err
			}
		}
	}
	if len(old) > 0 {
		if err := tx.Delete(&Subdivision{}, "code IN ?", slices.Sorted(maps.Keys(old))).Error; err != nil {
			return err
		}
	}
	if len(fresh) > 0 {
		return tx.Create(&fresh).Error
	}
	return nil
}

func byCountry(all []Subdivision) map[string][]Subdivision {
	m := map[string][]Subdivision{}
	for _, s := range all {
		m[s.country()] = append(m[s.country()], s)
	}
	return m
}
