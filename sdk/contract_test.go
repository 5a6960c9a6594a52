package sdk_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

// The compiler takes the names of imports and exports as literals only, so
// they cannot be abi's constants. This holds them to be the same.
func TestDirectivesMatchContract(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "host_wasip1.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Doc == nil {
			continue
		}
		for _, c := range f.Doc.List {
			if strings.HasPrefix(c.Text, "//go:wasm") {
				got[strings.TrimPrefix(c.Text, "//go:")] = signature(t, f.Type)
			}
		}
	}
	imported := "wasmimport " + abi.Module + " "
	want := map[string]string{
		imported + abi.ImportRowsOpen:   "i32 i32 -> i64",
		imported + abi.ImportRowsNext:   "i32 i32 i32 -> i64",
		imported + abi.ImportRowsClose:  "i32 -> i64",
		imported + abi.ImportRowsWrite:  "i32 i32 i32 i32 i32 i32 -> i64",
		imported + abi.ImportCommand:    "i32 i32 i32 i32 -> i64",
		imported + abi.ImportProgress:   "i64 i64 -> i64",
		imported + abi.ImportLog:        "i32 i32 i32 ->",
		imported + abi.ImportPending:    "i32 i32 -> i64",
		imported + abi.ImportTaskReturn: "i32 i32 -> i64",
		"wasmexport " + abi.ExportInput: "i32 -> i32",
		"wasmexport " + abi.ExportWork:  "i32 -> i32",
	}
	if !maps.Equal(got, want) {
		t.Errorf("directives of host_wasip1.go:\n got %v\nwant %v", got, want)
	}
}

// signature returns a function's type as Wasm sees it.
func signature(t *testing.T, f *ast.FuncType) string {
	t.Helper()
	var parts []string
	add := func(list *ast.FieldList) {
		if list == nil {
			return
		}
		for _, field := range list.List {
			name := ""
			switch typ := field.Type.(type) {
			case *ast.Ident:
				name = map[string]string{"uint32": "i32", "int64": "i64"}[typ.Name]
			case *ast.SelectorExpr:
				if typ.Sel.Name == "Pointer" {
					name = "i32"
				}
			}
			if name == "" {
				t.Errorf("a parameter of a type that the test does not know: %v", field.Type)
			}
			for range max(len(field.Names), 1) {
				parts = append(parts, name)
			}
		}
	}
	add(f.Params)
	parts = append(parts, "->")
	add(f.Results)
	return strings.Join(parts, " ")
}
