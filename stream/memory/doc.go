// Package memory is a stream in the memory of the process, for tests and for trying things out. It
// behaves as RabbitMQ does where that matters: repeated sequences of a producer name are confirmed and
// dropped, a commit takes an offset of the stream, so that offsets have holes, and ends that have
// failed stay failed. Faults can be made: confirms held back, connections cut, messages removed.
//
// # Delivery
//
// As in package stream; everything is lost when the process ends.
//
// # Concurrency
//
// A Stream may be used concurrently, its ends as in package stream.
//
// # Limits
//
// The stream grows until Truncate is called.
package memory
