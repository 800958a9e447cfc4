package cli

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/query"
)

// token makes a token and the line of the token file that knows only its hash.
func (p Program) token(*common) *cobra.Command {
	return &cobra.Command{
		Use: "token NAME [RESTRICTION…]", Short: "Make a token for serve, and the line for its token file", Args: cobra.MinimumNArgs(1),
		Long: `token prints a new random token, which is shown only now, and the line for the token file of serve. The
line has the SHA-256 of the token: who reads the file cannot make requests with it.`,
		Example: "  auditlog token acme tenant_id=acme hide=ip_address",
		RunE: func(_ *cobra.Command, args []string) error {
			if strings.ContainsAny(args[0], " \t#=,") || args[0] == "" {
				return usage(fmt.Errorf("the name is %q, want one without blanks, commas, = and #", args[0]))
			}
			var grant query.Grant
			for _, word := range args[1:] {
				if err := restrict(&grant, word); err != nil {
					return usage(err)
				}
			}
			token := rand.Text()
			line := append([]string{args[0], hashPrefix + query.HashToken(token)}, args[1:]...)
			_, err := fmt.Fprintf(p.Stdout, "token: %s\nline:  %s\n", token, strings.Join(line, " "))
			return err
		},
	}
}
