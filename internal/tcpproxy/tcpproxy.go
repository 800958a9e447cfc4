// Package tcpproxy has a TCP proxy for tests that can cut, hold up, swallow, delay, slow down and refuse
// connections.
package tcpproxy

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy forwards connections to an address. Make it with New.
type Proxy struct {
	addr   *net.TCPAddr
	listen func(address string) (net.Listener, error)
	dial   func() (net.Conn, error)

	mu       sync.Mutex
	listener net.Listener // nil: connections are refused
	conns    map[net.Conn]struct{}
	holes    [2]bool       // by direction
	next     [2]func()     // by direction: called when something comes, which is swallowed
	resume   chan struct{} // not nil: held; closed when it goes on
	delay    time.Duration
	jitter   time.Duration
	rate     int // bytes a second in each direction of a connection; 0: no limit
	cutAfter int // bytes to the server after which all is cut, if it is above 0
	ending   chan struct{}
	running  sync.WaitGroup
}

// Direction says where bytes go.
type Direction int

// The directions.
const (
	ToServer Direction = iota
	ToClient
)

// New makes a proxy to the address on a free port of this machine. It ends with the test.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // ends in the cleanup, by closing
	p := &Proxy{
		conns: make(map[net.Conn]struct{}), ending: make(chan struct{}),
		listen: func(address string) (net.Listener, error) {
			var config net.ListenConfig
			return config.Listen(ctx, "tcp", address)
		},
		dial: func() (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "tcp", target)
		},
	}
	listener, err := p.listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = listener.Addr().(*net.TCPAddr)
	p.serve(listener)
	t.Cleanup(func() {
		close(p.ending)
		p.Refuse()
		p.mu.Lock()
		p.letGo()
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

// Port is the port on which the proxy listens.
func (p *Proxy) Port() int { return p.addr.Port }

// Cut breaks all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

func (p *Proxy) cut() {
	for conn := range p.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, as a crash gives
		}
		_ = conn.Close()
	}
}

// Refuse breaks all connections and refuses new ones.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	p.cut()
}

// Hold stops forwarding in both directions, and takes new connections without answering, as a frozen
// server does. What was sent in the meantime is forwarded when Forward ends it.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resume == nil {
		p.resume = make(chan struct{})
	}
}

// Swallow reads on and forwards nothing more of the connections that are open or come, as a firewall
// does that drops packets: in the directions given, or in both if there are none.
func (p *Proxy) Swallow(directions ...Direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(directions) == 0 {
		directions = []Direction{ToServer, ToClient}
	}
	for _, d := range directions {
		p.holes[d] = true
	}
}

// OnNext swallows from now on what goes in the direction, and calls f when the first of it comes; f may Cut.
// If that is ToClient, the server has done by then what it was asked for, and the client does not learn it.
func (p *Proxy) OnNext(direction Direction, f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[direction] = f
}

// intercepts reports whether OnNext swallows what has come.
func (p *Proxy) intercepts(direction Direction) bool {
	p.mu.Lock()
	f := p.next[direction]
	if f != nil {
		p.next[direction], p.holes[direction] = nil, true
	}
	p.mu.Unlock()
	if f != nil {
		f()
	}
	return f != nil
}

// Delay holds what is forwarded back for d, give or take a random part up to jitter, in both directions.
func (p *Proxy) Delay(d, jitter time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.jitter = d, jitter
}

// Limit bounds how many bytes a second each connection carries in each direction; 0 is no limit.
func (p *Proxy) Limit(bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}

// CutAfter breaks all connections when n more bytes have gone to the server: inside a frame, where
// frames are larger.
func (p *Proxy) CutAfter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAfter = n
}

// Forward ends OnNext, Refuse, Hold, Swallow, Delay, Limit and CutAfter. If something may be lost, all
// connections are broken.
func (p *Proxy) Forward() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.jitter, p.rate, p.cutAfter = 0, 0, 0, 0
	p.next = [2]func(){}
	if p.holes[ToServer] || p.holes[ToClient] {
		p.holes = [2]bool{}
		p.cut()
	}
	p.letGo()
	if p.listener == nil {
		listener, err := p.listen(p.addr.String())
		if err != nil {
			return // the test sees it: connections stay refused
		}
		p.serveLocked(listener)
	}
}

func (p *Proxy) letGo() {
	if p.resume != nil {
		close(p.resume)
		p.resume = nil
	}
}

func (p *Proxy) serve(listener net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serveLocked(listener)
}

func (p *Proxy) serveLocked(listener net.Listener) {
	p.listener = listener
	p.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.forward(conn) })
		}
	})
}

func (p *Proxy) forward(client net.Conn) {
	server, err := p.dial()
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	if p.listener == nil {
		p.cut()
	}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client, ToServer) })
	both.Go(func() { p.copy(client, server, ToClient) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

// chunk is what was read at once, and when it may go on.
type chunk struct {
	data []byte
	due  time.Time
}

// copy forwards until either side ends. Reading goes on while chunks are delayed, as on a long line.
func (p *Proxy) copy(to, from net.Conn, direction Direction) {
	chunks := make(chan chunk, 64)
	var writing sync.WaitGroup
	writing.Go(func() {
		defer func() {
			_ = to.Close()
			_ = from.Close()
			for range chunks { // lets the reader end
			}
		}()
		p.write(to, chunks, direction)
	})
	defer writing.Wait()
	defer close(chunks)
	for {
		p.mu.Lock()
		rate := p.rate
		p.mu.Unlock()
		size := 32 << 10
		if rate > 0 {
			size = max(1, min(size, rate/20))
		}
		buffer := make([]byte, size)
		n, err := from.Read(buffer)
		if n > 0 && !p.intercepts(direction) {
			p.mu.Lock()
			delay, jitter, resume := p.delay, p.jitter, p.resume
			p.mu.Unlock()
			if resume != nil { // a frozen server reads nothing
				<-resume
			}
			if jitter > 0 {
				delay += rand.N(2*jitter) - jitter //nolint:gosec // no secret
			}
			chunks <- chunk{buffer[:n], time.Now().Add(max(0, delay))}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) write(to net.Conn, chunks <-chan chunk, direction Direction) {
	for c := range chunks {
		if !p.sleep(time.Until(c.due)) {
			return
		}
		p.mu.Lock()
		hole, resume, rate := p.holes[direction], p.resume, p.rate
		cut := direction == ToServer && p.cutAfter > 0 && len(c.data) >= p.cutAfter
		switch {
		case cut:
			c.data = c.data[:p.cutAfter]
			p.cutAfter = 0
		case direction == ToServer && p.cutAfter > 0:
			p.cutAfter -= len(c.data)
		}
		p.mu.Unlock()
		if resume != nil {
			<-resume
		}
		if rate > 0 && !p.sleep(time.Duration(len(c.data))*time.Second/time.Duration(rate)) {
			return
		}
		if hole {
			continue
		}
		if _, err := to.Write(c.data); err != nil {
			return
		}
		if cut {
			p.Cut()
			return
		}
	}
}

// sleep waits for d, and reports whether the proxy goes on.
func (p *Proxy) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ending:
		return false
	}
}
