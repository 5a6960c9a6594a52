package abi_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// docs/contract.md is the contract for everybody who does not write Go. These
// tests hold it, and the imports that the Go SDK declares, to this package.

func contractDoc(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// tables returns the rows of every table below a heading, as trimmed cells.
func tables(t *testing.T, doc, heading string) [][]string {
	t.Helper()
	_, section, ok := strings.Cut(doc, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("docs/contract.md has no heading %q", heading)
	}
	level := heading[:strings.IndexByte(heading, ' ')]
	if end := regexp.MustCompile(`\n#{2,` + strconv.Itoa(len(level)) + `} `).FindStringIndex(section); end != nil {
		section = section[:end[0]]
	}
	var rows [][]string
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) == 0 {
		t.Fatalf("docs/contract.md has no table below %q", heading)
	}
	return rows
}

var backticked = regexp.MustCompile("`([^`]+)`")

// ticked returns what stands in backticks in a cell.
func ticked(cell string) []string {
	var all []string
	for _, m := range backticked.FindAllStringSubmatch(cell, -1) {
		all = append(all, m[1])
	}
	return all
}

// named returns the values of the constants of names.go that begin with prefix.
func named(t *testing.T, prefix string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "names.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(f, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, prefix) {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("names.go has no constants %s…", prefix)
	}
	return values
}

// documented returns name to type of a table of functions.
func documented(t *testing.T, heading string) map[string]string {
	t.Helper()
	types := map[string]string{}
	for _, row := range tables(t, contractDoc(t), heading) {
		if name := ticked(row[0]); len(name) == 1 {
			types[name[0]] = strings.Join(ticked(row[1]), "")
		}
	}
	return types
}

func sameNames(t *testing.T, what string, got map[string]string, want []string) {
	t.Helper()
	for _, name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s: %s is missing", what, name)
		}
	}
	for name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("%s: %s is not in package abi", what, name)
		}
	}
}

func TestDocNamesImportsAndExports(t *testing.T) {
	t.Parallel()
	sameNames(t, "imports in docs/contract.md", documented(t, "## What a module may import"), named(t, "Import"))
	exports := documented(t, "## What a module exports")
	sameNames(t, "exports in docs/contract.md", exports, named(t, "Export"))
	for name, want := range map[string]string{
		abi.ExportInput: "(len i32) -> i32", abi.ExportWork: "(len i32) -> i32", abi.ExportInitialize: "() -> ()",
	} {
		if exports[name] != want {
			t.Errorf("export %s: documented as %q, want %q", name, exports[name], want)
		}
	}
	for _, name := range []string{abi.Module, abi.ManifestSection} {
		if !strings.Contains(contractDoc(t), "`"+name+"`") {
			t.Errorf("docs/contract.md does not name %s", name)
		}
	}
}

// The Go SDK spells the imports out once more, since //go:wasmimport takes
// literals only.
func TestSDKImportsWhatIsDocumented(t *testing.T) {
	t.Parallel()
	const file = "../sdk/host_wasip1.go"
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string]string{}
	for _, decl := range f.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Doc == nil {
			continue
		}
		for _, c := range fn.Doc.List {
			args, ok := strings.CutPrefix(c.Text, "//go:wasmimport ")
			if !ok {
				continue
			}
			module, name, _ := strings.Cut(args, " ")
			if module != abi.Module {
				t.Errorf("%s imports %s from %s, want %s", file, name, module, abi.Module)
			}
			imported[name] = wasmType(t, fn.Type)
		}
	}
	sameNames(t, file, imported, named(t, "Import"))
	paramName := regexp.MustCompile(`[a-z_]+ (i32|i64)`)
	for name, documented := range documented(t, "## What a module may import") {
		if got, want := imported[name], paramName.ReplaceAllString(documented, "$1"); got != want {
			t.Errorf("%s: the SDK imports it as %s, docs/contract.md has %s", name, got, want)
		}
	}
}

// wasmType is the type of a function as Wasm sees it.
func wasmType(t *testing.T, fn *ast.FuncType) string {
	t.Helper()
	types := func(list *ast.FieldList) string {
		var all []string
		for _, field := range list.List {
			var name string
			switch x := field.Type.(type) {
			case *ast.Ident:
				name = x.Name
			case *ast.SelectorExpr:
				name = x.Sel.Name
			}
			wasm, ok := map[string]string{"uint32": "i32", "int32": "i32", "Pointer": "i32", "uint64": "i64", "int64": "i64"}[name]
			if !ok {
				t.Fatalf("a parameter of type %q", name)
			}
			for range max(len(field.Names), 1) {
				all = append(all, wasm)
			}
		}
		return strings.Join(all, ", ")
	}
	if fn.Results == nil {
		return "(" + types(fn.Params) + ") -> ()"
	}
	return "(" + types(fn.Params) + ") -> " + types(fn.Results)
}

func TestDocListsTheCodes(t *testing.T) {
	t.Parallel()
	rows := tables(t, contractDoc(t), "## Codes")[1:] // behind the head
	for i, code := range abi.Codes() {
		if i >= len(rows) {
			t.Errorf("docs/contract.md does not list code %d, %v", i, code)
			continue
		}
		again := "no"
		if code.Retryable() {
			again = "yes"
		}
		want := []string{strconv.Itoa(i), "`" + code.String() + "`", rows[i][2], again}
		if !slices.Equal(rows[i], want) || rows[i][2] == "" {
			t.Errorf("docs/contract.md has %q, want %q", rows[i], want)
		}
	}
	if len(rows) > len(abi.Codes()) {
		t.Errorf("docs/contract.md lists codes that do not exist: %q", rows[len(abi.Codes()):])
	}
}

func TestDocDrawsResults(t *testing.T) {
	t.Parallel()
	for _, row := range tables(t, contractDoc(t), "## A result")[1:] {
		number, name, _ := strings.Cut(row[1], ", ")
		code, err1 := strconv.ParseUint(number, 10, 32)
		n, err2 := strconv.ParseUint(row[2], 10, 32)
		if err1 != nil || err2 != nil {
			t.Fatalf("row %q: %v, %v", row, err1, err2)
		}
		if got, want := row[0], fmt.Sprintf("`0x%016x`", uint64(abi.Pack(abi.Code(code), uint32(n)))); got != want {
			t.Errorf("code %d and %d: drawn as %s, want %s", code, n, got, want)
		}
		if want := "`" + abi.Code(code).String() + "`"; name != want {
			t.Errorf("code %d is called %s, want %s", code, name, want)
		}
	}
}

// vectors is testdata/vectors.json by name.
func vectors(t *testing.T) map[string]struct {
	Kind, Hex string
	Value     any
} {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	type vector = struct {
		Kind, Hex string
		Value     any
	}
	var file struct {
		Vectors []struct {
			Name, Kind, Use, Hex string
			Value                any
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	byName := map[string]vector{}
	for _, v := range file.Vectors {
		if v.Use == "both" {
			byName[v.Name] = vector{v.Kind, v.Hex, v.Value}
		}
	}
	return byName
}

var drawing = regexp.MustCompile("(?s)<!-- vector: ([^>]+) -->\n```\n(.*?)```")

func TestDocDrawsTheGoldenBytes(t *testing.T) {
	t.Parallel()
	known := vectors(t)
	kinds := map[string]bool{}
	for _, m := range drawing.FindAllStringSubmatch(contractDoc(t), -1) {
		v, ok := known[m[1]]
		if !ok {
			t.Errorf("docs/contract.md draws %q, which is no vector", m[1])
			continue
		}
		kinds[v.Kind] = true
		var drawn strings.Builder
		for line := range strings.Lines(m[2]) {
			bytes, _, _ := strings.Cut(strings.TrimRight(line, "\n"), "  ")
			drawn.WriteString(strings.ReplaceAll(bytes, " ", ""))
		}
		if _, err := hex.DecodeString(drawn.String()); err != nil || drawn.String() != v.Hex {
			t.Errorf("docs/contract.md draws %s as\n%s, but it is\n%s", m[1], drawn.String(), v.Hex)
		}
	}
	for _, v := range known {
		if v.Kind != "value" && v.Kind != "result" && !kinds[v.Kind] {
			t.Errorf("docs/contract.md draws no %s", v.Kind)
		}
	}
}

// Each field that is documented is known to the reader, and each that a vector
// has is documented.
func TestDocNamesTheFields(t *testing.T) {
	t.Parallel()
	headings := map[string]string{
		"task":       "## A task",
		"task_error": "### How a task ends",
		"query":      "## Reading rows",
		"mutations":  "## Writing rows",
		"request":    "## Commands",
	}
	readers := map[string]func([]byte) error{
		"task_error": func(b []byte) error { _, err := wire.ReadTaskError(b); return err },
		"query":      func(b []byte) error { _, err := wire.ReadQuery(b); return err },
		"mutations":  func(b []byte) error { _, err := wire.ReadMutations(append([]byte{0x91}, b...)); return err },
		"request":    func(b []byte) error { _, err := wire.ReadRequest(b); return err },
	}
	fields := map[string][]string{}
	for kind, heading := range headings {
		inFields := false
		for _, row := range tables(t, contractDoc(t), heading) {
			if !strings.HasPrefix(row[0], "`") {
				inFields = row[0] == "field" // a table's head
				continue
			}
			if !inFields {
				continue
			}
			field := ticked(row[0])[0]
			fields[kind] = append(fields[kind], field)
			if read := readers[kind]; read != nil {
				var w wire.Writer
				w.Map(1)
				w.String(field)
				w.Float(0.5) // of no field's type
				if err := read(w.B); err == nil || strings.Contains(err.Error(), "unknown field") {
					t.Errorf("%s: field %q is documented and the reader says: %v", kind, field, err)
				}
			}
		}
	}
	for name, v := range vectors(t) {
		if headings[v.Kind] == "" {
			continue
		}
		maps := []any{v.Value}
		if list, ok := v.Value.([]any); ok {
			maps = list
		}
		for _, m := range maps {
			for field := range m.(map[string]any) {
				if !slices.Contains(fields[v.Kind], field) {
					t.Errorf("vector %s has the field %q, which docs/contract.md does not list for a %s", name, field, v.Kind)
				}
			}
		}
	}
}

func TestDocNamesOperatorsAndVerbs(t *testing.T) {
	t.Parallel()
	listed := func(heading string) []string {
		var all []string
		inOps := false
		for _, row := range tables(t, contractDoc(t), heading) {
			if !strings.HasPrefix(row[0], "`") {
				inOps = row[0] == "op"
			} else if inOps {
				all = append(all, ticked(row[0])...)
			}
		}
		slices.Sort(all)
		return all
	}
	ops := []abi.Op{abi.Equal, abi.NotEqual, abi.Less, abi.LessOrEqual, abi.Greater, abi.GreaterOrEqual, abi.In, abi.Like, abi.IsNull, abi.NotNull}
	verbs := []abi.Verb{abi.Insert, abi.Upsert, abi.InsertNew, abi.Update, abi.Delete}
	slices.Sort(ops)
	slices.Sort(verbs)
	if got, want := fmt.Sprint(listed("## Reading rows")), fmt.Sprint(ops); got != want {
		t.Errorf("operators: docs/contract.md lists %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(listed("## Writing rows")), fmt.Sprint(verbs); got != want {
		t.Errorf("verbs: docs/contract.md lists %s, want %s", got, want)
	}
	commands := map[string]string{}
	for _, row := range tables(t, contractDoc(t), "## Commands") {
		if name := ticked(row[0]); len(name) == 1 && name[0] != "name" && name[0] != "params" {
			commands[name[0]] = ""
		}
	}
	sameNames(t, "commands in docs/contract.md", commands, []string{abi.CommandPing, abi.CommandEmitEvent,
		abi.CommandGetConfig, abi.CommandGetSession, abi.CommandSetSession, abi.CommandDeleteSession, abi.CommandSubmitTask, abi.CommandListCommands,
		abi.CommandEmbed, abi.CommandGenerate})
}

func TestDocManifestIsOne(t *testing.T) {
	t.Parallel()
	_, example, _ := strings.Cut(contractDoc(t), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	dec := json.NewDecoder(strings.NewReader(example))
	dec.DisallowUnknownFields()
	var m abi.Manifest
	if err := dec.Decode(&m); err != nil || m.Name == "" || len(m.Requests.Data) == 0 {
		t.Errorf("the manifest in docs/contract.md: %+v, %v", m, err)
	}
}
