// Package tcpproxy has a TCP proxy for tests that can cut, hold up, swallow and refuse connections.
package tcpproxy

import (
	"context"
	"net"
	"sync"
	"testing"
)

// Proxy forwards connections to an address. Make it with New.
type Proxy struct {
	addr   *net.TCPAddr
	listen func(address string) (net.Listener, error)
	dial   func() (net.Conn, error)

	mu       sync.Mutex
	listener net.Listener // nil: connections are refused
	conns    map[net.Conn]struct{}
	holes    bool
	resume   chan struct{} // not nil: held; closed when it goes on
	running  sync.WaitGroup
}

// New makes a proxy to the address on a free port of this machine. It ends with the test.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // ends in the cleanup, by closing
	p := &Proxy{
		conns: make(map[net.Conn]struct{}),
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

// Swallow reads on in both directions and forwards nothing more of the connections that are open or
// come, as a firewall does that drops packets.
func (p *Proxy) Swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holes = true
}

// Forward ends Refuse, Hold and Swallow. Connections that have lost something are broken.
func (p *Proxy) Forward() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.holes {
		p.holes = false
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
	both.Go(func() { p.copy(server, client) })
	both.Go(func() { p.copy(client, server) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, client)
	delete(p.conns, server)
	p.mu.Unlock()
}

func (p *Proxy) copy(to, from net.Conn) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		holes, resume := p.holes, p.resume
		p.mu.Unlock()
		if resume != nil {
			<-resume
		}
		if n > 0 && !holes {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
