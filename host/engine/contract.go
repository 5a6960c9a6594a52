package engine

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/engine/rewrite"
)

// signature is a function's type.
type signature struct {
	params, results []api.ValueType
}

func (s signature) String() string {
	names := func(types []api.ValueType) string {
		const most = 16 // a hostile type has thousands
		var list []string
		for _, t := range types[:min(len(types), most)] {
			list = append(list, api.ValueTypeName(t))
		}
		if len(types) > most {
			list = append(list, "…")
		}
		return "(" + strings.Join(list, ", ") + ")"
	}
	return names(s.params) + " -> " + names(s.results)
}

func (s signature) equal(o signature) bool {
	return slices.Equal(s.params, o.params) && slices.Equal(s.results, o.results)
}

func signatureOf(f api.FunctionDefinition) signature {
	return signature{f.ParamTypes(), f.ResultTypes()}
}

var (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64

	requiredExports = map[string]signature{
		abi.ExportInput: {[]api.ValueType{i32}, []api.ValueType{i32}},
		abi.ExportWork:  {[]api.ValueType{i32}, []api.ValueType{i32}},
	}
	optionalExports = map[string]signature{
		abi.ExportInitialize: {},
	}
)

// checkContract compares what the module imports and exports with the
// contract, before anything of it runs.
func (m *Module) checkContract() error {
	for _, f := range m.compiled.ImportedFunctions() {
		from, name, _ := f.Import()
		offered, ok := m.engine.offered[from]
		if !ok {
			return m.invalid("imports %s.%s; a worker may import functions of %s only", clip(from), clip(name), m.engine.modules())
		}
		def, ok := offered[name]
		if !ok {
			return m.invalid("imports %s.%s, which does not exist", from, clip(name))
		}
		if got, want := signatureOf(f), signatureOf(def); !got.equal(want) {
			return m.invalid("imports %s.%s as %s; its type is %s", from, name, got, want)
		}
	}
	for _, mem := range m.compiled.ImportedMemories() {
		from, name, _ := mem.Import()
		return m.invalid("imports the memory %s.%s; a worker exports its own", clip(from), clip(name))
	}
	if _, ok := m.compiled.ExportedMemories()[abi.ExportMemory]; !ok {
		return m.invalid("does not export its memory as %q", abi.ExportMemory)
	}
	exports := m.compiled.ExportedFunctions()
	for name, want := range requiredExports {
		f, ok := exports[name]
		if !ok {
			return m.invalid("does not export %s %s; was it built as a library (reactor)?", name, want)
		}
		if got := signatureOf(f); !got.equal(want) {
			return m.invalid("exports %s as %s; its type must be %s", name, got, want)
		}
		if from, host, imported := f.Import(); imported {
			return m.invalid("exports %s.%s as %s; it must be a function of its own", from, host, name)
		}
	}
	for name, want := range optionalExports {
		if f, ok := exports[name]; ok && !signatureOf(f).equal(want) {
			return m.invalid("exports %s as %s; its type must be %s", name, signatureOf(f), want)
		}
	}
	return nil
}

func (m *Module) invalid(format string, args ...any) error {
	return abi.Errorf(abi.InvalidModule, "module %s: %s", m.name, readable(fmt.Sprintf(format, args...), maxText))
}

// modules lists what can be imported from.
func (e *Engine) modules() string {
	var names []string
	for name := range e.offered {
		if name != rewrite.TickModule { // only what is rewritten here may import it
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return strings.Join(names, " and ")
}

// clip keeps a name from a hostile file short enough for a message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
