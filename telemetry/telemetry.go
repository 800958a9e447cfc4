package telemetry

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	meternoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
)

// Scope is the name of the instrumentation scope of all metrics and spans.
const Scope = "github.com/gormtrail/audit/telemetry"

// Providers says whom to tell. The zero value tells nobody.
type Providers struct {
	// Meter takes the metrics. Defaults to none.
	Meter metric.MeterProvider
	// Tracer takes the spans. Defaults to none.
	Tracer trace.TracerProvider
}

func (p Providers) meter() metric.Meter {
	if p.Meter == nil {
		return meternoop.NewMeterProvider().Meter(Scope)
	}
	return p.Meter.Meter(Scope)
}

// Source is something that has numbers: Auditor, Spool, Outbox, Direct, Relay, Consumer and Accounts
// give one.
type Source interface {
	register(m metric.Meter) (metric.Registration, error)
}

// Register reports the numbers of the sources whenever the metrics are collected, until stop is called. Sources of one kind
// must differ in their producer, or stream.
func (p Providers) Register(sources ...Source) (stop func() error, err error) {
	m := p.meter()
	var registrations []metric.Registration
	stop = func() error {
		var errs []error
		for _, r := range registrations {
			errs = append(errs, r.Unregister())
		}
		return errors.Join(errs...)
	}
	for _, s := range sources {
		r, err := s.register(m)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("telemetry: register metrics: %w", err), stop())
		}
		registrations = append(registrations, r)
	}
	return stop, nil
}

// kind is what a number is.
type kind int

const (
	counter kind = iota // only rises while the process lives
	updown              // a sum that rises and falls
	gauge               // no sum
)

// put reports a value.
type put func(value float64, attributes ...attribute.KeyValue)

// number is one metric of an S.
type number[S any] struct {
	name, unit, help string
	kind             kind
	each             func(s S, report put)
}

// one is for a metric with one value.
func one[S any](value func(s S) float64) func(S, put) {
	return func(s S, report put) { report(value(s)) }
}

// outcomes reports what became of things, each under its word.
func outcomes(report put, list ...outcome) {
	for _, o := range list {
		report(float64(o.n), attribute.String("outcome", o.word))
	}
}

// outcome is how often something ended like this.
type outcome struct {
	word string
	n    int64
}

// yes gives 1 for true.
func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// source is a Source whose numbers come from one S.
type source[S any] struct {
	numbers    []number[S]
	read       func(ctx context.Context) ([]S, error)
	attributes func(s S) []attribute.KeyValue
}

// register implements Source.
func (s *source[S]) register(m metric.Meter) (metric.Registration, error) {
	instruments := make([]metric.Observable, len(s.numbers))
	observables := make([]metric.Float64Observable, len(s.numbers))
	for i, n := range s.numbers {
		o, err := observable(m, n.kind, n.name, n.unit, n.help)
		if err != nil {
			return nil, err
		}
		instruments[i], observables[i] = o, o
	}
	return m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		all, err := s.read(ctx)
		for _, v := range all {
			base := s.attributes(v)
			for i, n := range s.numbers {
				n.each(v, func(value float64, attributes ...attribute.KeyValue) {
					set := append(base[:len(base):len(base)], attributes...)
					o.ObserveFloat64(observables[i], value, metric.WithAttributes(set...))
				})
			}
		}
		return err
	}, instruments...)
}

func observable(m metric.Meter, k kind, name, unit, help string) (metric.Float64Observable, error) {
	switch k {
	case counter:
		return m.Float64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(help))
	case updown:
		return m.Float64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(help))
	default:
		return m.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(help))
	}
}

// live gives what a source reads from numbers that cannot fail.
func live[S any](stats func() S) func(context.Context) ([]S, error) {
	return func(context.Context) ([]S, error) { return []S{stats()}, nil }
}
