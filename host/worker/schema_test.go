package worker

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
)

// schemaFile is what authors' editors check a manifest with.
const schemaFile = "../../docs/manifest.schema.json"

// choices are the values that a text may have, by its key's path.
var choices = map[string][]string{
	".isolation": {"task", "worker"}, ".schedule[].missed": {"skip", "once"},
	".requests.data{}[]": verbs,
}

// schemaOf is the JSON Schema of a Go type, as encoding/json reads it strictly.
func schemaOf(t reflect.Type, path string) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem(), path)
	case reflect.Interface:
		return map[string]any{}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer", "minimum": 0.0}
	case reflect.String:
		s := map[string]any{"type": "string"}
		if list := choices[path]; list != nil {
			var enum []any
			for _, v := range list {
				enum = append(enum, v)
			}
			s["enum"] = enum
		}
		return s
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem(), path+"[]")}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem(), path+"{}")}
	}
	properties := map[string]any{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		properties[name] = schemaOf(t.Field(i).Type, path+"."+name)
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}

// TestSchemaIsThatOfTheType: WASMHOST_WRITE_SCHEMA=1 writes it anew.
func TestSchemaIsThatOfTheType(t *testing.T) {
	t.Parallel()
	want := schemaOf(reflect.TypeFor[abi.Manifest](), "")
	want["$schema"], want["title"] = "https://json-schema.org/draft/2020-12/schema", "Manifest of a wasmhost worker"
	if os.Getenv("WASMHOST_WRITE_SCHEMA") != "" {
		b, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		write(t, schemaFile, string(b)+"\n")
	}
	b, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDocManifestIsOne(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/workers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(b), "## A manifest")
	_, example, _ = strings.Cut(example, "```toml\n")
	example, _, _ = strings.Cut(example, "```")
	if m, err := readSidecar([]byte(example)); err != nil || m.Name == "" || len(AskOf(m).Items()) < 4 {
		t.Errorf("the manifest in docs/workers.md: %+v, %v", m, err)
	}
}
