package audit

// Batch links the records of many changes.
type Batch struct{}
