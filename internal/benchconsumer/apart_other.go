//go:build !linux

package main

import (
	"context"
	"errors"
)

func (*bench) apart(context.Context) (undo func(), err error) {
	return nil, errors.New("processors can be chosen on Linux only")
}
