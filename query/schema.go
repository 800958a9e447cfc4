package query

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// schemas gives the schemas of the answers, made from the types that are encoded.
func schemas() schema {
	record := schema{
		"type": "object", "required": []string{"log_id", "timestamp", "action"}, "additionalProperties": true,
		"properties": schema{"log_id": schema{"type": "string"}, "timestamp": schema{"type": "string", "format": "date-time"}, "action": schema{"type": "string"}},
	}
	return schema{
		"Record":    record,
		"Page":      schemaOf(reflect.TypeFor[answer]()),
		"Context":   schemaOf(reflect.TypeFor[around]()),
		"State":     schemaOf(reflect.TypeFor[stateAnswer]()),
		"Batch":     schemaOf(reflect.TypeFor[batchAnswer]()),
		"Count":     schemaOf(reflect.TypeFor[countAnswer]()),
		"Facets":    schemaOf(reflect.TypeFor[facetsAnswer]()),
		"Histogram": schemaOf(reflect.TypeFor[histogramAnswer]()),
		"Users":     schemaOf(reflect.TypeFor[usersAnswer]()),
		"User":      schemaOf(reflect.TypeFor[oneUserAnswer]()),
		"Changes":   schemaOf(reflect.TypeFor[changesAnswer]()),
		"Meta":      schemaOf(reflect.TypeFor[meta]()),
		"Problem":   schemaOf(reflect.TypeFor[Problem]()),
		"Object":    schema{"type": "object"},
		"Text":      schema{"type": "string"},
		"CloudEvents": schema{"type": "array", "items": schema{
			"type": "object", "required": []string{"specversion", "id", "source", "type", "time", "data"},
			"properties": schema{"specversion": schema{"const": "1.0"}, "data": ref("Record")},
		}},
	}
}

// schemaOf gives the JSON Schema of what encoding/json makes of a type.
func schemaOf(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return schema{}
	case reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		s := schemaOf(t.Elem())
		if kind, ok := s["type"].(string); ok {
			s["type"] = []string{kind, "null"}
		}
		return s
	case reflect.Struct:
		s := schema{"type": "object"}
		properties, required := schema{}, []string{}
		fieldsOf(t, properties, &required)
		s["properties"], s["required"], s["additionalProperties"] = properties, required, false
		return s
	case reflect.Slice:
		return schema{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer"}
	default:
		return schema{"type": "string"}
	}
}

func fieldsOf(t reflect.Type, properties schema, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			fieldsOf(f.Type, properties, required)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		properties[name] = schemaOf(f.Type)
		if !strings.Contains(options, "omitempty") {
			*required = append(*required, name)
		}
	}
}
