#!/bin/sh
# Permissions of least privilege on RabbitMQ. Run it on a node of the broker, as a user that may call rabbitmqctl,
# when the accounts are there: rabbitmqctl add_user audit-producer, and so on, which asks for the password.
# With other names of streams than the default ones, change the patterns. The project's tests give accounts
# exactly these permissions, and see that each of them is needed.
set -eu
vhost=${RABBITMQ_STREAM_VHOST:-/}

# may ACCOUNT CONFIGURE WRITE READ
may() { rabbitmqctl set_permissions -p "$vhost" "$1" "$2" "$3" "$4"; }

# auditlog setup: makes the streams. It is run by people, not by a service. To bind the partitions of a super stream
# it writes to them and reads the exchange that has the stream's name.
may audit-setup '^audit_logs_(stream(-[0-9]+|_watermarks)?|dlq)$' '^audit_logs_(stream(-[0-9]+|_watermarks)?|dlq)$' '^audit_logs_stream$'

# The application, and auditlog relay: publishes records, and reads how far they have come; to ask which sequence of a
# publisher the broker has stored last needs reading too.
may audit-producer '^$' '^audit_logs_stream(-[0-9]+)?$' '^audit_logs_stream(-[0-9]+|_watermarks)?$'

# auditlog consume: reads records and keeps its offset, for which reading is enough; writes dead letters and how far it
# has come.
may audit-consumer '^$' '^audit_logs_(dlq|stream_watermarks)$' '^audit_logs_stream(-[0-9]+)?$'

# auditlog dlq and replay: reads both, and marks dead letters.
may audit-operator '^$' '^audit_logs_dlq$' '^audit_logs_(stream(-[0-9]+)?|dlq)$'
