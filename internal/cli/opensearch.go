package cli

import (
	"errors"

	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/store/opensearch/awssig"
)

// openSearchConfig reads how to reach OpenSearch from the environment. With OPENSEARCH_AWS_REGION requests are
// signed for AWS.
func openSearchConfig(c *common) (opensearch.Config, error) {
	config, err1 := opensearch.ConfigFromEnv(c.getenv)
	signer, err2 := awssig.FromEnv(c.getenv)
	if signer != nil {
		config.Signer = signer
	}
	config.Logger = c.log
	return config, errors.Join(err1, err2)
}
