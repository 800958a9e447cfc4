package outbox

// LinesOf and IDOf are for the fuzz test.
var (
	LinesOf = linesOf
	IDOf    = idOf
)
