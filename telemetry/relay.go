package telemetry

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/gormtrail/audit/relay"
)

var relayNumbers = []number[relay.Stats]{
	{"audit.relay.connected", "", "1 while there is a publisher and nothing against it.", gauge, one(func(s relay.Stats) float64 { return yes(s.Connected) })},
	{"audit.relay.blocked", "", "1 while the broker takes messages and confirms nothing.", gauge, one(func(s relay.Stats) float64 { return yes(s.Blocked) })},
	{"audit.relay.sent", "{record}", "Records handed to a publisher.", counter, one(func(s relay.Stats) float64 { return float64(s.Sent) })},
	{"audit.relay.resent", "{record}", "Of the sent records, those that had been sent before.", counter, one(func(s relay.Stats) float64 { return float64(s.Resent) })},
	{"audit.relay.confirmed", "{record}", "Records that the stream has confirmed.", counter, one(func(s relay.Stats) float64 { return float64(s.Confirmed) })},
	{"audit.relay.unconfirmed", "{record}", "Records that were sent on this connection and wait for a confirm.", updown, one(func(s relay.Stats) float64 { return float64(s.Unconfirmed) })},
	{"audit.relay.confirm.age", "s", "For how long nothing was confirmed though something waited for it.", gauge, one(func(s relay.Stats) float64 { return s.ConfirmAge.Seconds() })},
	{"audit.relay.connections", "{connection}", "Publishers that were made.", counter, one(func(s relay.Stats) float64 { return float64(s.Connections) })},
	{"audit.relay.failures", "{failure}", "Publishers that failed or could not be made.", counter, one(func(s relay.Stats) float64 { return float64(s.Failures) })},
	{"audit.relay.abandoned", "{name}", "Producer names that were given up, because somebody else published under them.", counter, one(func(s relay.Stats) float64 { return float64(s.AbandonedNames) })},
}

// Relay gives the numbers of what relays: a relay.Relay, a relay.Service, or a relay.Orphans, whose producer may be "".
func Relay(producer string, r interface{ Stats() relay.Stats }) Source {
	return relaySource(producer, r.Stats)
}

func relaySource(producer string, stats func() relay.Stats) Source {
	return &source[relay.Stats]{numbers: relayNumbers, read: live(stats), attributes: func(relay.Stats) []attribute.KeyValue {
		return []attribute.KeyValue{attribute.String("producer", producer)}
	}}
}

// sources are several as one.
type sources []Source

func (s sources) register(m metric.Meter) (metric.Registration, error) {
	all := &registrations{}
	for _, one := range s {
		r, err := one.register(m)
		if err != nil {
			return nil, errors.Join(err, all.Unregister())
		}
		all.list = append(all.list, r)
	}
	return all, nil
}

type registrations struct {
	metric.Registration // embedded, as the interface asks; never called

	list []metric.Registration
}

// Unregister implements metric.Registration.
func (r *registrations) Unregister() error {
	var errs []error
	for _, one := range r.list {
		errs = append(errs, one.Unregister())
	}
	return errors.Join(errs...)
}
