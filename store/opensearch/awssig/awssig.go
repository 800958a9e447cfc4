// Package awssig signs requests to OpenSearch at AWS: the managed service, "es", and serverless
// collections, "aoss". It is a package of its own so that nobody else gets AWS's SDK.
//
//	signer, err := awssig.New(awssig.Config{Region: "eu-central-1", Credentials: cfg.Credentials})
//	…
//	store, err := opensearch.New(opensearch.Config{Addresses: …, Signer: signer})
//
// It is the official signer of opensearch-go over that of aws-sdk-go-v2. Of the SDK only the core comes
// along; credentials of roles (EC2, ECS, EKS) are those of its module config, which the application brings.
package awssig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/opensearch-project/opensearch-go/v4/signer"
	"github.com/opensearch-project/opensearch-go/v4/signer/awsv2"

	"github.com/gormtrail/audit/store/opensearch"
)

// DefaultService is the managed service.
const DefaultService = "es"

// ErrConfig is returned, wrapped, if a Config or an environment variable is wrong.
var ErrConfig = errors.New("awssig: bad configuration")

// Config says as whom and for which region to sign.
type Config struct {
	// Region is that of the domain, such as "eu-central-1".
	Region string
	// Service is "es" for a domain and "aoss" for a serverless collection.
	//
	// Defaults to DefaultService.
	Service string
	// Credentials gives the keys for each request; it is asked concurrently. To keep keys until they
	// expire, wrap a provider by aws.NewCredentialsCache, as aws-sdk-go-v2/config does.
	Credentials aws.CredentialsProvider
}

var _ opensearch.Signer = (*Signer)(nil)

// Signer signs requests. Its methods may be called concurrently.
type Signer struct {
	signer.Signer
}

var regions = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`) //nolint:gochecknoglobals // compiled once

// New gives a Signer. The error wraps ErrConfig and names all that is wrong; keys are asked for with the
// first request.
func New(cfg Config) (*Signer, error) {
	if cfg.Service == "" {
		cfg.Service = DefaultService
	}
	var errs []error
	if !regions.MatchString(cfg.Region) {
		errs = append(errs, fmt.Errorf("%w: Config.Region is %q, want a region such as eu-central-1", ErrConfig, cfg.Region))
	}
	if cfg.Service != "es" && cfg.Service != "aoss" {
		errs = append(errs, fmt.Errorf("%w: Config.Service is %q, want es or aoss", ErrConfig, cfg.Service))
	}
	if cfg.Credentials == nil {
		errs = append(errs, fmt.Errorf("%w: Config.Credentials is missing", ErrConfig))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	s, err := awsv2.NewSignerWithService(aws.Config{Region: cfg.Region, Credentials: cfg.Credentials}, cfg.Service)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return &Signer{s}, nil
}

// SignRequest signs one request, whose body it reads and puts back.
func (s *Signer) SignRequest(req *http.Request) error {
	if err := s.Signer.SignRequest(req); err != nil {
		return fmt.Errorf("awssig: sign the request: %w", err)
	}
	return nil
}

// FromEnv gives the Signer that the environment describes, and nil if OPENSEARCH_AWS_REGION is not set:
// OPENSEARCH_AWS_SERVICE (es), AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, which are read
// again for each request through getenv, which is os.Getenv or one like it. The error names every variable
// that is wrong, but no key; it wraps ErrConfig.
func FromEnv(getenv func(string) string) (*Signer, error) {
	region := getenv("OPENSEARCH_AWS_REGION")
	if region == "" {
		return nil, nil //nolint:nilnil // not at AWS
	}
	_, err1 := keys(getenv)
	s, err2 := New(Config{
		Region: region, Service: getenv("OPENSEARCH_AWS_SERVICE"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return keys(getenv) }),
	})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return s, nil
}

// keys gives the keys of the environment variables.
func keys(getenv func(string) string) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID: getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: getenv("AWS_SESSION_TOKEN"), Source: "environment",
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return c, fmt.Errorf("%w: OPENSEARCH_AWS_REGION is set, and of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY one is empty", ErrConfig)
	}
	return c, nil
}
