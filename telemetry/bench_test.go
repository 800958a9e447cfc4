package telemetry_test

import (
	"context"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/telemetry"
)

// dropped is a sink that forgets its records.
type dropped struct{}

func (dropped) Write(context.Context, []event.Record) error { return nil }

// BenchmarkCreate creates two rows in turn, recorded without and with telemetry: ratio is the time of a write with it,
// divided by that of one without.
func BenchmarkCreate(b *testing.B) {
	reader := sdk.NewManualReader()
	p := telemetry.Providers{Meter: sdk.NewMeterProvider(sdk.WithReader(reader)), Tracer: sdktrace.NewTracerProvider()}
	recording, span := p.Tracer.Tracer("bench").Start(b.Context(), "request")
	defer span.End()
	for name, v := range map[string]struct {
		config audit.Config
		within bool // a span that is recording
	}{
		"registered":     {audit.Config{Sink: dropped{}}, false},
		"tracer":         {audit.Config{Sink: dropped{}, Tracer: p.AuditTracer()}, false},
		"span recording": {audit.Config{Sink: dropped{}, Tracer: p.AuditTracer()}, true},
	} {
		b.Run(name, func(b *testing.B) {
			without, _ := application(b, audit.Config{Sink: dropped{}})
			with, a := application(b, v.config)
			for _, db := range []*gorm.DB{without, with} { // a sync of the disk would hide everything
				for _, pragma := range []string{"PRAGMA synchronous = OFF", "PRAGMA journal_mode = MEMORY"} {
					if err := db.Exec(pragma).Error; err != nil {
						b.Fatal(err)
					}
				}
			}
			if _, err := p.Register(telemetry.Auditor(a)); err != nil {
				b.Fatal(err)
			}
			plain, measured := without.WithContext(b.Context()), with.WithContext(b.Context())
			if v.within {
				plain, measured = without.WithContext(recording), with.WithContext(recording)
			}
			var spent [2]float64
			for b.Loop() {
				for i, db := range []func() error{
					func() error { return plain.Create(&customer{Phone: "1"}).Error },
					func() error { return measured.Create(&customer{Phone: "1"}).Error },
				} {
					start := time.Now()
					if err := db(); err != nil {
						b.Fatal(err)
					}
					spent[i] += time.Since(start).Seconds()
				}
			}
			b.ReportMetric(spent[1]/spent[0], "ratio")
		})
	}
}
