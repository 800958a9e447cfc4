package rabbit

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/logs"
)

// forwardLogs sends what the client logs to the default slog.Logger, at level debug: it has one
// logger for the whole process, and says as errors what is handled here.
var forwardLogs = sync.OnceFunc(func() { logs.SetLogger(debugLogger{}) })

type debugLogger struct{}

func (debugLogger) Info(message string, v ...any)  { logDebug(message, v) }
func (debugLogger) Error(message string, v ...any) { logDebug(message, v) }
func (debugLogger) Warn(message string, v ...any)  { logDebug(message, v) }
func (debugLogger) Debug(string, ...any)           {}

func logDebug(message string, v []any) {
	slog.Default().Debug("rabbitmq stream client", slog.String("message", fmt.Sprintf(message, v...)))
}
