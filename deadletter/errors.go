package deadletter

import "errors"

var (
	// ErrConfig is returned, wrapped, by New if something is missing.
	ErrConfig = errors.New("deadletter: bad configuration")
	// ErrNotFound is returned, wrapped, if there is no letter with a number.
	ErrNotFound = errors.New("deadletter: no such letter")
	// ErrWho is returned, wrapped, if nobody is named who drops or retries, or no reason is given for a drop.
	ErrWho = errors.New("deadletter: nobody answers for it")
	// ErrStore is returned, wrapped, by Retry if the store takes nothing now.
	ErrStore = errors.New("deadletter: the store takes nothing now")

	errCut     = errors.New("only the beginning of the message was kept, because the whole did not fit: it is still on its stream while that keeps it")
	errResults = errors.New("deadletter: store gave another number of results than documents")
)
