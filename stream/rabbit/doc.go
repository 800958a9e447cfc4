// Package rabbit is the stream of RabbitMQ: publishers, sources and the declaration of streams behind
// the contracts of package stream. No other package knows the client library.
//
// # Delivery
//
// Each end has connections of its own, made for it and thrown away with it: the client's own
// reconnecting neither resends nor gives up. Messages are AMQP 1.0 with a data section, content-type
// application/json, message-id, and application properties of strings. RabbitMQ confirms what a
// majority of the stream's replicas holds in memory; it does not sync to disk for each message, so
// a stream of one replica can lose confirmed messages when the machine loses power.
//
// # Errors
//
// Making an end first asks the server for its name, with a deadline, so that a wrong port, a wrong
// certificate or a frozen server are told apart. Errors name the address and never the password.
//
// # Concurrency
//
// As in package stream. A server that stopped reading can hold goroutines of the client until the
// connection breaks; Close leaves them behind after two seconds.
//
// # Limits
//
// A broker remembers the sequences of 255 producer names per stream: names must be few and lasting.
package rabbit
