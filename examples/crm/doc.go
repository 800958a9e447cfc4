// Command crm is a small customer management on Gin and GORM whose every change is audited. It shows
// how an application uses the audit module; start reading in audit.go.
//
//	go run ./examples/crm                 no server needed: the trail is in the application's own database
//	go run ./examples/crm -pipeline       the trail goes through RabbitMQ into OpenSearch
//
// The second needs both servers, at the addresses in RABBITMQ_STREAM_* and OPENSEARCH_*. Those for
// tests will do:
//
//	scripts/services.sh start rabbitmq opensearch
//	eval "$(scripts/services.sh env)"
//
// It prints the addresses to open and three curl lines to try, and runs until it is interrupted. Its
// data is in the folder crm-data, which may be deleted.
//
// Files: audit.go has the integration, models.go the models, api.go the handlers, auth.go a login for
// demonstration, pipeline.go the way through RabbitMQ and OpenSearch, seed.go the first data, made
// through the application's own HTTP API.
package main
