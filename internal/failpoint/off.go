//go:build !failpoint

package failpoint

// Enabled says whether the process was built with the tag failpoint.
const Enabled = false

// Hit marks the place.
func Hit(Point) {}

// Err marks a place that can fail. It gives nil.
func Err(Point) error { return nil }
