package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/accounting"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
)

// soak is what the variables for a soak say.
type soak struct {
	book                  string
	pause                 time.Duration
	spoolBytes, softBytes int64
}

func soakFromEnv() (s soak, err error) {
	s = soak{book: os.Getenv("CRASHAPP_BOOK"), spoolBytes: 64 << 20}
	if rate := os.Getenv("CRASHAPP_RATE"); rate != "" {
		n, err := strconv.Atoi(rate)
		if err != nil || n < 1 {
			return s, fmt.Errorf("CRASHAPP_RATE is %q, want 1 or more", rate)
		}
		s.pause = time.Second / time.Duration(n)
	}
	if size := os.Getenv("CRASHAPP_SPOOL_BYTES"); size != "" {
		if s.spoolBytes, err = strconv.ParseInt(size, 10, 64); err != nil {
			return s, fmt.Errorf("CRASHAPP_SPOOL_BYTES is %q, want a number", size)
		}
		s.softBytes = -1 // records are dropped or whole, but never shortened
	}
	return s, nil
}

// sink gives the sink of the application. stop ends what it started.
func (s soak) sink(queue *spool.Spool, carrier *relay.Service) (sink audit.Sink, stop func(), err error) {
	if s.book == "" {
		return queue, func() {}, nil
	}
	file, err := os.OpenFile(s.book, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var telling sync.WaitGroup
	telling.Go(func() { account(ctx, queue, carrier) })
	return &booked{queue: queue, file: file}, func() {
		cancel()
		telling.Wait()
		_ = file.Close()
	}, nil
}

// booked writes down what it hands to the queue.
type booked struct {
	queue *spool.Spool
	mu    sync.Mutex
	file  *os.File
}

// Write implements audit.Sink.
func (b *booked) Write(ctx context.Context, records []event.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines, kept bytes.Buffer
	for _, r := range records {
		data, err := event.Encode(r)
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "issue %s\n", data)
		fmt.Fprintf(&kept, "kept %s\n", r.LogID)
	}
	// One write each, so that a kill cuts nothing off.
	if _, err := b.file.Write(lines.Bytes()); err != nil {
		return err
	}
	if err := b.queue.Write(ctx, records); err != nil {
		return err
	}
	_, err := b.file.Write(kept.Bytes())
	return err
}

// Account is a line of the account.
type Account struct {
	At    time.Time
	Queue accounting.Queue
}

// account prints the numbers of the spool until ctx ends.
func account(ctx context.Context, queue *spool.Spool, carrier *relay.Service) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for over := false; ; {
		at := time.Now()
		q := queue.Accounting()
		q.ConfirmAge = carrier.Stats().ConfirmAge
		if data, err := json.Marshal(Account{at, q}); err == nil {
			fmt.Println("account", string(data))
		}
		if over {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			over = true
		}
	}
}
