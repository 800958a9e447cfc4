package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"
)

// stubArgument makes the program a server that takes every bulk.
const stubArgument = "stub"

// serveStub is an OpenSearch that has every index and takes every document, and keeps nothing. It prints its
// address.
func serveStub(ctx context.Context, out io.Writer) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	item := []byte(`{"create":{"status":201}},`)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /_bulk", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		buffer := make([]byte, 256<<10)
		for {
			read, err := r.Body.Read(buffer)
			n += bytes.Count(buffer[:read], []byte{'\n'})
			if err != nil {
				break
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"took":1,"errors":false,"items":[`)
		items := bytes.Repeat(item, n/2)
		_, _ = w.Write(bytes.TrimSuffix(items, []byte{','}))
		_, _ = io.WriteString(w, "]}")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Method != http.MethodHead {
			_, _ = fmt.Fprintf(w, `{"%s":{"mappings":{"_meta":{"schema_version":1000}}}}`, strings.Trim(r.URL.Path, "/"))
		}
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_, _ = fmt.Fprintln(out, "http://"+l.Addr().String())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// startStub starts the server as a process of its own, so that its work is not counted.
func startStub(ctx context.Context) (address string, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, os.Args[0], stubArgument)
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return "", nil, err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		cancel()
		return "", nil, err
	}
	stop = func() {
		cancel()
		_ = cmd.Wait() // says that it was killed
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, err
	}
	return strings.TrimSpace(line), stop, nil
}
