package rabbit

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// maxProbe is the largest answer that a probe reads; that of RabbitMQ 4 has about 500 bytes.
const maxProbe = 64 << 10

// keyPeerProperties is the command with which a connection begins, see
// https://github.com/rabbitmq/rabbitmq-server/blob/main/deps/rabbitmq_stream/docs/PROTOCOL.adoc.
const keyPeerProperties = 0x0011

// probe asks the server for its properties. The client has no deadlines: it waits for ever for a
// frozen server, and gives the same time-out after 10 s for a wrong port and for every mistake of
// TLS. After a probe, it is not let near these.
func (c Config) probe(ctx context.Context, host string) error {
	address := c.address(host)
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("rabbit: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	if c.TLS != nil {
		secure := tls.Client(conn, c.tlsFor(host))
		if err := secure.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("rabbit: TLS with %s: %w", address, err)
		}
		conn = secure
	}
	if err := exchangeProperties(conn); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("rabbit: %s takes connections, but does not answer: %w", address, context.Cause(ctx))
		}
		// With TLS 1.3 a server that refuses the client's certificate says so only now.
		if alert := (*net.OpError)(nil); errors.As(err, &alert) && alert.Op == "remote error" {
			return fmt.Errorf("rabbit: TLS with %s: %w (does the server trust the certificate of this client?)", address, err)
		}
		if c.TLS == nil {
			return fmt.Errorf("%w at %s: %w (is it the port of the stream protocol, without TLS?)", ErrNoStreamServer, address, err)
		}
		return fmt.Errorf("%w at %s: %w (is it the port of the stream protocol?)", ErrNoStreamServer, address, err)
	}
	return nil
}

// exchangeProperties sends the first frame of a connection, with no properties, and reads the answer.
func exchangeProperties(conn io.ReadWriter) error {
	request := binary.BigEndian.AppendUint32(nil, 12)                   // length of what follows
	request = binary.BigEndian.AppendUint16(request, keyPeerProperties) // command
	request = binary.BigEndian.AppendUint16(request, 1)                 // version
	request = binary.BigEndian.AppendUint32(request, 1)                 // correlation id
	request = binary.BigEndian.AppendUint32(request, 0)                 // number of properties
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	size, key := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint16(head[4:6])
	if key != keyPeerProperties|0x8000 || size < 10 || size > maxProbe {
		return errors.New("the answer is of another protocol")
	}
	if _, err := io.CopyN(io.Discard, conn, int64(size)-4); err != nil {
		return err
	}
	return nil
}

func (c Config) tlsFor(host string) *tls.Config {
	config := c.TLS.Clone()
	if config.ServerName == "" {
		config.ServerName, _ = c.split(host)
	}
	return config
}
