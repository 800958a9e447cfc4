// Package audit records who changed what through GORM: for each committed change of a registered
// model one record with the old and new values, the actor and the request.
package audit
