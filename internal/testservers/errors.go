package testservers

import (
	"fmt"
	"os"
)

// missingError says that no address of a server is known.
type missingError struct {
	server, variable string
}

// Error names the variable and how it is set.
func (e *missingError) Error() string {
	return fmt.Sprintf("testservers: no %s: %s is not set; run make test, or scripts/services.sh start and eval \"$(scripts/services.sh env)\"",
		e.server, e.variable)
}

// lookup gives the value of the variable, or a *missingError.
func lookup(server, variable string) (string, error) {
	if v := os.Getenv(variable); v != "" {
		return v, nil
	}
	return "", &missingError{server: server, variable: variable}
}
