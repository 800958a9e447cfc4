package opensearch

import (
	"io"
	"net/http"
	"sync"
)

// buffer has what one call of Write needs, and is used again by another one.
type buffer struct {
	body    []byte // operations and documents, one after the other
	request []byte // a request that is not a part of body: some of its documents, or compressed
	items   []item
	answers []itemAnswer
}

// buffers has those that are not in use.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// release gives the buffer back. What has grown beyond keep, for a document of unusual size, is left to the
// garbage collector.
func (b *buffer) release(keep int) {
	if cap(b.body) > keep {
		b.body = nil
	}
	if cap(b.request) > keep {
		b.request = nil
	}
	clear(b.items) // they hold names
	clear(b.answers)
	buffers.Put(b)
}

// payload is the body of a request in a buffer that is used again. A transport may read a body even after
// it has given an answer, or an error; from close on it reads nothing.
type payload struct {
	mu      sync.Mutex
	data    []byte
	readers []*payloadReader
	closed  bool
}

// attach makes p the body of req, as often as the transport wants to send it.
func (p *payload) attach(req *http.Request) {
	req.ContentLength = int64(len(p.data))
	req.GetBody = func() (io.ReadCloser, error) { return p.reader(), nil }
	req.Body = p.reader()
}

func (p *payload) reader() *payloadReader {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &payloadReader{rest: p.data, closed: p.closed}
	p.readers = append(p.readers, r)
	return r
}

// close ends all readers; when it returns, nobody reads the data.
func (p *payload) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.readers {
		_ = r.Close()
	}
	p.readers, p.data, p.closed = nil, nil, true
}

type payloadReader struct {
	mu     sync.Mutex
	rest   []byte
	closed bool
}

// Read implements io.Reader.
func (r *payloadReader) Read(dst []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return 0, http.ErrBodyReadAfterClose
	case len(r.rest) == 0:
		return 0, io.EOF
	}
	n := copy(dst, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close implements io.Closer.
func (r *payloadReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest, r.closed = nil, true
	return nil
}
