package harness

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// wire forwards connections to a server with a delay, and counts what goes over it.
type wire struct {
	listener net.Listener
	target   string
	delay    time.Duration // of each direction
	bytes    atomic.Int64
	trips    atomic.Int64 // times that the client began to send after the server had answered
	answered atomic.Bool
}

func newWire(ctx context.Context, target string, roundTrip time.Duration) (*wire, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{listener: listener, target: target, delay: roundTrip / 2}
	go w.serve(ctx)
	return w, nil
}

func (w *wire) port() int { return w.listener.Addr().(*net.TCPAddr).Port } //nolint:forcetypeassert // it listens on TCP

// close ends the listening; connections end with their client.
func (w *wire) close() error { return w.listener.Close() }

func (w *wire) serve(ctx context.Context) {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		var dialer net.Dialer
		server, err := dialer.DialContext(ctx, "tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		go w.forward(server, client, func() {
			if w.answered.Swap(false) {
				w.trips.Add(1)
			}
		})
		go w.forward(client, server, func() { w.answered.Store(true) })
	}
}

// packet is what was read, and when it has arrived.
type packet struct {
	data []byte
	due  time.Time
}

// forward copies with the delay. Reading goes on meanwhile, so that it is a delay of each byte, and no limit
// of how many there may be.
func (w *wire) forward(to, from net.Conn, count func()) {
	packets := make(chan packet, 1024)
	go func() {
		defer to.Close() //nolint:errcheck // the other side sees it
		for p := range packets {
			if wait := time.Until(p.due); wait > 0 {
				time.Sleep(wait)
			}
			if _, err := to.Write(p.data); err != nil {
				break
			}
		}
		for range packets { // the reader must not wait for ever
		}
	}()
	defer close(packets)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			count()
			w.bytes.Add(int64(n))
			packets <- packet{append([]byte(nil), buffer[:n]...), time.Now().Add(w.delay)}
		}
		if err != nil {
			return
		}
	}
}
