package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"gorm.io/gorm"
)

// seed fills an empty database through the HTTP API, as its users would, so that the trail has
// something to show.
func seed(ctx context.Context, db *gorm.DB, base string) error {
	var customers int64
	if err := db.WithContext(ctx).Unscoped().Model(&Customer{}).Count(&customers).Error; err != nil || customers > 0 {
		return err
	}
	for _, step := range []struct {
		user, method, path, body string
	}{
		{"alice", "POST", "/api/customers", `{"name":"John Smith","email":"john@example.com","phone":"0987654321","note":"Met at the fair"}`},
		{"alice", "POST", "/api/customers", `{"name":"Trần Thị Bích","email":"bich@example.com","phone":"0901234567"}`},
		{"bob", "POST", "/api/customers", `{"name":"José Álvarez","email":"jose@example.com","phone":"555-0100"}`},
		{"bob", "POST", "/api/customers", `{"name":"Test, please delete","email":"test@example.com"}`},
		{"alice", "POST", "/api/customers/import?source=customers.xlsx", `[
			{"name":"Acme Ltd","email":"office@acme.example"},
			{"name":"Globex","email":"john@example.com"},
			{"name":"","email":"nobody@example.com"},
			{"name":"Initech","email":"hello@initech.example","phone":"555-0123"}]`},
		{"bob", "POST", "/api/orders", `{"customer_id":1,"item":"Espresso machine","total_cents":49900}`},
		{"bob", "POST", "/api/orders", `{"customer_id":3,"item":"Coffee beans, 5 kg","total_cents":7450}`},
		{"bob", "PUT", "/api/orders/1", `{"status":"shipped"}`},
		{"alice", "PUT", "/api/customers/1", `{"phone":"1234567890","note":"Prefers e-mail"}`},
		{"bob", "DELETE", "/api/customers/4", ``},
		{"alice", "POST", "/api/employees", `{"name":"Jane Roe","department":"Sales","salary_cents":540000,"dependents":[{"name":"Tim Roe","relationship":"child"}]}`},
		{"alice", "POST", "/api/employees", `{"name":"Max Muster","department":"Support","salary_cents":410000}`},
		{"alice", "POST", "/api/employees/1/dependents", `{"name":"Ann Roe","relationship":"child"}`},
		{"alice", "PUT", "/api/employees/1", `{"department":"Marketing","salary_cents":560000}`},
		{"alice", "POST", "/api/employees/2/dependents", `{"name":"Mia Muster","relationship":"spouse"}`},
		{"alice", "DELETE", "/api/employees/2", ``},
		{"bob", "GET", "/api/customers/export", ``},
	} {
		if err := send(ctx, "crm-demo-token-"+step.user, step.method, base+step.path, step.body); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
	}
	return nil
}

// send makes one request and wants it to succeed.
func send(ctx context.Context, token, method, url, body string) error {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "crm-seed/1.0")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		var compact bytes.Buffer
		if json.Compact(&compact, answer) == nil {
			answer = compact.Bytes()
		}
		return fmt.Errorf("%s %s: %s: %.200s", method, url, response.Status, answer)
	}
	return nil
}
