package reqinfo

import (
	"bytes"
	"runtime"
	"sync"
)

// Late is a value that a request may know from some moment on, such as the user, who is known when
// authentication has run. Get may be called concurrently and after the request has ended.
type Late[T any] struct {
	mu     sync.Mutex
	asking goroutine // who is in ask now
	idle   sync.Cond
	ask    func() (T, bool) // nil when it must not be called any more
	value  T
	known  bool
}

// NewLate gives the value that ask answers. ask is called by one goroutine at a time, until it
// answers true, and never after Close.
func NewLate[T any](ask func() (T, bool)) *Late[T] {
	l := &Late[T]{ask: ask}
	l.idle.L = &l.mu
	return l
}

// Get gives the value if it is known by now. If ask itself leads to a call of Get, that one answers
// false: while the actor is being looked up, nobody is known to act.
func (l *Late[T]) Get() (T, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.get()
}

// Close asks a last time, if the value is not known, and waits for a call of ask that is running:
// afterwards nothing of the request is used any more.
func (l *Late[T]) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.get()
	l.ask = nil
}

func (l *Late[T]) get() (T, bool) {
	if l.asking != 0 {
		self := current()
		for l.asking != 0 && !l.known {
			if l.asking == self {
				var none T
				return none, false
			}
			l.idle.Wait()
		}
	}
	if l.known || l.ask == nil {
		return l.value, l.known
	}
	l.asking = current()
	defer func() { // also if ask panics
		l.asking = 0
		l.idle.Broadcast()
	}()
	value, ok := l.unlocked()
	if ok {
		l.value, l.known, l.ask = value, true, nil
	}
	return l.value, l.known
}

func (l *Late[T]) unlocked() (T, bool) {
	ask := l.ask
	l.mu.Unlock()
	defer l.mu.Lock()
	return ask()
}

// goroutine is the number of a goroutine; 0 is none.
type goroutine uint64

// current gives the number of the calling goroutine. Go has no other way to notice that it is oneself
// who is asking. The form "goroutine 7 [" has been the same since Go 1; should it change, all numbers
// become 0, and calls of ask are no longer kept apart.
func current() (n goroutine) {
	var buf [32]byte
	line := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	for _, b := range line {
		if b < '0' || b > '9' {
			break
		}
		n = 10*n + goroutine(b-'0')
	}
	return n
}
