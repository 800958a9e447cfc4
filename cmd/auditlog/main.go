// Command auditlog carries audit records from RabbitMQ Streams into OpenSearch, and serves them; see
// auditlog --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/internal/cli"
)

func main() {
	gin.SetMode(gin.ReleaseMode) // else Gin prints its routes
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	code := cli.Main(ctx, cli.Program{
		Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv, Databases: databases(), Listen: listen,
	})
	stop()
	os.Exit(code)
}
