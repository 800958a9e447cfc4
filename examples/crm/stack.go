package main

import (
	"context"
	"errors"
	"slices"
)

// stack has what must be stopped, the last one first.
type stack []func(context.Context) error

func (s *stack) add(stop func(context.Context) error) { *s = append(*s, stop) }

// background runs the service until its turn to be stopped comes, also after the end of ctx.
func (s *stack) background(ctx context.Context, run func(context.Context) error) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- run(running) }()
	s.add(func(ctx context.Context) error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// run stops everything, whatever fails.
func (s *stack) run(ctx context.Context) (err error) {
	for _, stop := range slices.Backward(*s) {
		err = errors.Join(err, stop(ctx))
	}
	return err
}
