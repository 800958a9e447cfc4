// Package oidc is an Authorizer for the query API that takes JSON Web Tokens of an OpenID Connect provider,
// as Bearer tokens.
//
//	authorizer, err := oidc.New(oidc.Config{
//		Issuer: "https://id.example.com", Audience: "audit-api",
//		Grant: oidc.Mapping{Filters: map[store.Field]string{store.FieldTenantID: "tenant"}}.Grant,
//	})
//
// # What is checked
//
// The signature, by a key that the provider publishes now, and with one of Config.Algorithms, all of which
// are asymmetric: a token that says "none", or that signs itself with the provider's public key as if it were
// a shared secret, is refused before any key is looked at. The issuer and the audience, which must be equal,
// and the times: exp must be there and ahead, nbf must have come.
//
// # Errors
//
// A token that is not valid gives query.ErrUnauthenticated, and so 401. If the provider cannot be asked for
// its keys the error is another one, and so the answer 503. Why a token was refused is logged at level Debug,
// never what is in it.
//
// # Keys
//
// The provider is asked for its keys when the first token comes, and again for each token that none of the
// known keys has signed: so a key that was rotated is known at once. It is asked at most once within
// Config.MinRefresh, whatever tokens come.
package oidc
