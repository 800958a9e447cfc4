package telemetry

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/gormtrail/audit"
)

// errorKinds are always reported, so that the first error of a kind is a rise from 0.
var errorKinds = []string{
	audit.KindCapture, audit.KindSink, audit.KindTarget, audit.KindModel, audit.KindRegistry, audit.KindBatch,
	audit.KindCommit, audit.KindProbe, audit.KindConfig, audit.KindHook,
}

var captureNumbers = []number[audit.Stats]{
	{"audit.capture.changes", "{change}", "Changes that were captured, by what became of them.", counter, func(s audit.Stats, report put) {
		outcomes(
			report,
			outcome{"emitted", s.Emitted},
			outcome{"failed", s.Failed},
			outcome{"discarded", s.Discarded},
			outcome{"suppressed", s.Suppressed},
			outcome{"unchanged", s.Unchanged},
			outcome{"vetoed", s.Vetoed},
		)
	}},
	{"audit.capture.unknown", "{record}", "Of the emitted records, those whose COMMIT was not answered.", counter, one(func(s audit.Stats) float64 { return float64(s.Unknown) })},
	{"audit.capture.truncated", "{statement}", "Statements that changed more rows than are recorded one by one.", counter, one(func(s audit.Stats) float64 { return float64(s.Truncated) })},
	{"audit.capture.skipped", "{statement}", "Writes of registered models that were not recorded, by table and reason.", counter, func(s audit.Stats, report put) {
		for table, reasons := range s.Skipped {
			for reason, n := range reasons {
				report(float64(n), attribute.String("table", table), attribute.String("reason", reason))
			}
		}
	}},
	{"audit.capture.errors", "{error}", "What went wrong inside auditing, by kind.", counter, func(s audit.Stats, report put) {
		for _, kind := range errorKinds {
			report(float64(s.Errors[kind]), attribute.String("kind", kind))
		}
	}},
}

// Auditor gives the numbers of an Auditor. A nil one has zeros.
func Auditor(a *audit.Auditor) Source {
	return &source[audit.Stats]{numbers: captureNumbers, read: live(a.Stats), attributes: func(audit.Stats) []attribute.KeyValue { return nil }}
}
