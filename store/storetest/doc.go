// Package storetest is the conformance suite of the stores: what store.Searcher and store.Writer promise,
// as tests. A store runs it from a test of its own:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Harness {
//			return storetest.Harness{Store: newStore(t)}
//		})
//	}
package storetest
