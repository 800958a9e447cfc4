package main

import (
	"context"
	"errors"
	"slices"
)

// stack has what must be stopped, the last one first.
type stack []func(context.Context) error

func (s *stack) add(stop func(context.Context) error) { *s = append(*s, stop) }

// run stops everything, whatever fails.
func (s *stack) run(ctx context.Context) (err error) {
	for _, stop := range slices.Backward(*s) {
		err = errors.Join(err, stop(ctx))
	}
	return err
}
