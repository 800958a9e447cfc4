package query

// capabilities says what the store can do beside searching.
func (h *handler) capabilities() map[string]bool {
	return map[string]bool{}
}
