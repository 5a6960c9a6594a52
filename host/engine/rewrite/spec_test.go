package rewrite

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wasmhost/wasmhost/abi"
)

// The scripts of the WebAssembly specification's own test suite, as they are
// in the runtime's module, run on plain modules, on metered ones, and on metered
// ones that come from a snapshot of their start, where one can be taken. The
// plain ones must do what the script says, the others what the plain ones do.
//
// By default some scripts run, on the compiler; with WASMHOST_SPEC=all (make
// spec) all do, on the interpreter as well.

const specEnv = "WASMHOST_SPEC"

// specSuites are the folders with scripts, and the features that each is for.
var specSuites = []struct {
	name     string
	features api.CoreFeatures
}{
	{"v1", api.CoreFeaturesV1},
	{"v2", api.CoreFeaturesV2},
	{"extended-const", api.CoreFeaturesV2 | experimental.CoreFeaturesExtendedConst},
	{"tail-call", api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall},
	{"exception-handling", api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling |
		experimental.CoreFeaturesTailCall | experimental.CoreFeaturesTypedFunctionReferences},
	{"typed-function-references", api.CoreFeaturesV2 | experimental.CoreFeaturesTypedFunctionReferences |
		experimental.CoreFeaturesTailCall},
	{"threads", api.CoreFeaturesV2 | experimental.CoreFeaturesThreads},
}

// specQuick are the scripts that run by default: those about control flow,
// calls, linking, and the instructions that are charged by an operand.
var specQuick = []string{
	"block", "loop", "if", "br", "br_if", "br_table", "call", "call_indirect", "return", "switch", "unwind",
	"nop", "labels", "fac", "func", "start", "global", "imports", "exports", "linking", "elem", "data", "names",
	"memory_grow", "memory_fill", "table_grow", "table_fill", "ref_func", "select", "unreached-valid",
	"return_call", "return_call_indirect", "try_table", "throw", "throw_ref", "tag", "call_ref", "br_on_null",
	"custom", "binary", "binary-leb128", "stack", "simd_lane", "simd_const",
}

// specSlow are those that are left out under the race detector: they compile
// large functions and exhaust stacks.
var specSlow = []string{"br_table", "call", "call_indirect", "fac"}

type specCommand struct {
	Type       string
	Line       int
	Name       string
	Filename   string
	As         string
	ModuleType string `json:"module_type"`
	Text       string
	Action     struct {
		Type, Field, Module string
		Args                []specValue
	}
	Expected []specValue
}

type specValue struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

// bits are the values as the runtime's API passes them, and which of them may
// be any NaN.
func (v specValue) bits(t *testing.T) (bits []uint64, nan []string) {
	if v.Type != "v128" {
		s, _ := v.Value.(string)
		b, n := laneBits(t, v.Type, s)
		return []uint64{b}, []string{n}
	}
	width := map[string]int{"i8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64}[v.LaneType]
	bits = make([]uint64, 2)
	for i, lane := range v.Value.([]any) {
		b, n := laneBits(t, v.LaneType, lane.(string))
		bits[i*width/64] |= b << (i * width % 64)
		nan = append(nan, n)
	}
	return bits, nan
}

func laneBits(t *testing.T, kind, s string) (bits uint64, nan string) {
	switch {
	case s == "" || s == "null":
		return 0, ""
	case strings.HasPrefix(s, "nan:"):
		return 0, s
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		signed, serr := strconv.ParseInt(s, 10, 64)
		if serr != nil {
			t.Fatalf("value %q of a script: %v", s, err)
		}
		v = uint64(signed)
	}
	switch kind {
	case "i8":
		v = uint64(uint8(v))
	case "i16":
		v = uint64(uint16(v))
	case "i32", "f32":
		v = uint64(uint32(v))
	case "externref":
		v++ // to the runtime 0 is null
	}
	return v, ""
}

// matches says whether got is what the script expects.
func (v specValue) matches(t *testing.T, got []uint64) bool {
	if v.Value == nil && v.Type != "refnull" { // any reference
		return strings.HasSuffix(v.Type, "ref")
	}
	want, nan := v.bits(t)
	kind := v.Type
	if kind == "v128" {
		kind = v.LaneType
	}
	width := 128 / max(len(nan), 1)
	if v.Type != "v128" {
		width = 64
	}
	mask := uint64(math.MaxUint64)
	if width < 64 || kind == "i32" || kind == "f32" {
		mask = 1<<min(width, 32) - 1
	}
	for i, n := range nan {
		shift := i * width % 64
		g, w := got[i*width/64]>>shift&mask, want[i*width/64]>>shift&mask
		switch {
		case n == "":
			if g != w {
				return false
			}
		case kind == "f32":
			if !isNaN(g, 0x7fc00000, 1<<31, n) {
				return false
			}
		default:
			if !isNaN(g, 0x7ff8<<48, 1<<63, n) {
				return false
			}
		}
	}
	return true
}

func isNaN(got, canonical, sign uint64, kind string) bool {
	if kind == "nan:canonical" {
		return got&^sign == canonical
	}
	return got&canonical == canonical
}

// specTraps are the words of scripts for what ends a call, and those of the
// runtime.
var specTraps = map[string]string{
	"indirect call": "indirect call type mismatch", "indirect call type mismatch": "indirect call type mismatch",
	"undefined element": "invalid table access", "undefined": "invalid table access",
	"out of bounds table access": "invalid table access",
	"call stack exhausted":       "stack overflow",
	"null reference":             "null reference", "null function reference": "null reference",
}

func trapOf(text string) string {
	if s, ok := specTraps[text]; ok {
		return s
	}
	if strings.HasPrefix(text, "uninitialized") {
		return "invalid table access"
	}
	return text
}

// specRun runs one script in one way.
type specRun struct {
	t       *testing.T
	dir     string
	form    specForm
	runtime wazero.Runtime
	modules map[string]api.Module
	last    api.Module
	lost    string // why the current module is missing
	bytes   map[string][]byte
	initial map[string]*Initial

	restored  int              // modules that came from a snapshot
	obstacles map[Obstacle]int // what kept the others from it
}

// specForm is what was done to the modules.
type specForm int

const (
	specPlain specForm = iota
	specMetered
	specRestored
)

// The reasons that something may be left out for.
const (
	skipText    = "the text format is not the runtime's business"
	skipShared  = "uses shared memory, which is refused"
	skipNullRef = "the runtime takes ref.null for a function where a module has any, and so finds these valid once the tick is there"
)

// specSkips are single commands that are left out, by script and line. The
// feature is one that the engine does not turn on.
var specSkips = map[string]string{
	"typed-function-references/table:57": skipNullRef,
	"typed-function-references/table:61": skipNullRef,
	"typed-function-references/ref:60":   skipNullRef,
	"typed-function-references/ref:65":   skipNullRef,
	"typed-function-references/ref:69":   skipNullRef,
	"typed-function-references/ref:78":   skipNullRef,
}

func newSpecRun(t *testing.T, dir string, cfg wazero.RuntimeConfig, form specForm) *specRun {
	ctx := context.Background()
	s := &specRun{t: t, dir: dir, form: form, runtime: wazero.NewRuntimeWithConfig(ctx, cfg),
		modules: map[string]api.Module{}, bytes: map[string][]byte{},
		initial: map[string]*Initial{}, obstacles: map[Obstacle]int{}}
	_, err := s.runtime.NewHostModuleBuilder(TickModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, _ []uint64) {
			counter(m).Set(1000)
		}), nil, nil).Export(TickName).Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.runtime.InstantiateWithConfig(ctx, spectest(), wazero.NewModuleConfig().WithName("spectest")); err != nil {
		t.Fatal(err)
	}
	return s
}

// spectest is the module that the scripts expect to be there.
func spectest() []byte {
	const f32, f64 = "\x7d", "\x7c"
	params := []string{"", vI32, vI64, f32, f64, vI32 + f32, f64 + f64}
	names := []string{"print", "print_i32", "print_i64", "print_f32", "print_f64", "print_i32_f32", "print_f64_f64"}
	var types, funcs, exports, code [][]byte
	for i, p := range params {
		types = append(types, typ(p, ""))
		funcs = append(funcs, u32(uint32(i)))
		exports = append(exports, exp(names[i], kindFunc, uint32(i)))
		code = append(code, body())
	}
	for i, name := range []string{"global_i32", "global_i64", "global_f32", "global_f64"} {
		exports = append(exports, exp(name, kindGlobal, uint32(i)))
	}
	exports = append(exports, exp("table", kindTable, 0), exp("memory", kindMemory, 0))
	return wasm(sec(secType, types...), sec(secFunction, funcs...),
		sec(secTable, op(typeFuncref, 1, 10, 20)), sec(secMemory, op(1, 1, 2)),
		sec(secGlobal,
			op(0x7f, 0, opI32Const, 0x9a, 0x05, opEnd),
			op(0x7e, 0, opI64Const, 0x9a, 0x05, opEnd),
			op(0x7d, 0, opF32Const, 0x66, 0xa6, 0x26, 0x44, opEnd),
			op(0x7c, 0, opF64Const, 0xcd, 0xcc, 0xcc, 0xcc, 0xcc, 0xd4, 0x84, 0x40, opEnd)),
		sec(secExport, exports...), sec(secCode, code...))
}

// instantiate returns "ok", "skip: …" or "refused: …".
func (s *specRun) instantiate(file, name string) (api.Module, string) {
	wasm, ok := s.bytes[file]
	if !ok {
		var err error
		if wasm, err = os.ReadFile(filepath.Join(s.dir, file)); err != nil {
			s.t.Fatal(err)
		}
		if s.form != specPlain {
			var report Report
			few := 1
			if filepath.Base(filepath.Dir(s.dir)) == "v1" {
				few = math.MaxInt // filling a table by code is of version 2
			}
			wasm, report, err = Instrument(wasm, Config{Limits: Limits{TableElements: 1 << 27}, Snapshot: s.form == specRestored, FewElements: few})
			s.initial[file] = report.Initial
			s.obstacles[report.Obstacle]++
			if err != nil {
				if strings.Contains(err.Error(), "shared memory") {
					return nil, "skip: " + skipShared
				}
				if c := abi.CodeOf(err); c != abi.InvalidModule && c != abi.LimitExceeded {
					s.t.Errorf("%s: code %v", file, c)
				}
				return nil, "refused"
			}
		}
		s.bytes[file] = wasm
	}
	made := func(name string) (api.Module, error) {
		return s.runtime.InstantiateWithConfig(context.Background(), wasm, wazero.NewModuleConfig().WithName(name).WithStartFunctions())
	}
	if initial := s.initial[file]; initial != nil {
		return s.restore(initial, name, made)
	}
	m, err := made(name)
	if err != nil {
		return nil, "refused"
	}
	return m, "ok"
}

// restore starts one instance by hand, and brings another to where that one is.
func (s *specRun) restore(initial *Initial, name string, made func(string) (api.Module, error)) (api.Module, string) {
	first, err := made("")
	if err != nil {
		return nil, "refused"
	}
	for _, d := range initial.Data {
		if !first.Memory().Write(d.Offset, d.Bytes) {
			return nil, "refused"
		}
	}
	if initial.Start {
		if _, err := first.ExportedFunction(StartName).Call(context.Background()); err != nil {
			return nil, "refused"
		}
	}
	m, err := made(name)
	if err != nil {
		s.t.Errorf("a second instance: %v", err)
		return nil, "refused"
	}
	if from, to := first.Memory(), m.Memory(); !reflect.ValueOf(from).IsNil() {
		to.Grow((from.Size() - to.Size()) >> 16)
		if b, ok := from.Read(0, from.Size()); !ok || !to.Write(0, b) || to.Size() != from.Size() {
			s.t.Errorf("a memory of %d bytes cannot be brought to one of %d", from.Size(), to.Size())
		}
	}
	for i := range initial.Globals {
		g := m.ExportedGlobal(GlobalName(i)).(api.MutableGlobal)
		v := first.ExportedGlobal(GlobalName(i)).Get()
		if kind := g.Type(); kind != api.ValueTypeI32 && kind != api.ValueTypeI64 && kind != api.ValueTypeF32 &&
			kind != api.ValueTypeF64 && v != 0 {
			continue // a reference: no snapshot is taken of such a module
		}
		g.Set(v)
	}
	s.restored++
	return m, "ok"
}

// call returns what came back, or how the call ended.
func (s *specRun) call(c *specCommand) (got []uint64, outcome string) {
	m := s.last
	if c.Action.Module != "" {
		m = s.modules[c.Action.Module]
	}
	if m == nil {
		return nil, s.lost
	}
	if c.Action.Type == "get" {
		return []uint64{m.ExportedGlobal(c.Action.Field).Get()}, ""
	}
	var args []uint64
	for _, a := range c.Action.Args {
		bits, _ := a.bits(s.t)
		args = append(args, bits...)
	}
	got, err := m.ExportedFunction(c.Action.Field).Call(context.Background(), args...)
	if err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n")
		return nil, strings.TrimPrefix(line, "wasm error: ")
	}
	return got, ""
}

// command runs one and returns what happened, in words that are the same for
// plain and metered modules, and whether it is what the script says.
func (s *specRun) command(c *specCommand, registered string) (outcome string, right bool) {
	switch c.Type {
	case "module":
		m, outcome := s.instantiate(c.Filename, registered)
		s.last, s.lost = m, outcome
		if c.Name != "" {
			s.modules[c.Name] = m
		}
		return outcome, outcome == "ok"
	case "assert_return", "action":
		got, outcome := s.call(c)
		if outcome != "" {
			return outcome, false
		}
		right = true
		rest := got
		for _, want := range c.Expected {
			n := 1
			if want.Type == "v128" {
				n = 2
			}
			if len(rest) < n || !want.matches(s.t, rest[:n]) {
				right = false
				break
			}
			rest = rest[n:]
		}
		if slices.ContainsFunc(c.Expected, func(v specValue) bool { return v.Type == "funcref" && v.Value != "null" }) {
			return "some function", right // its address differs from run to run
		}
		return fmt.Sprint(got), right && (len(rest) == 0 || c.Type == "action")
	case "assert_trap", "assert_exhaustion":
		_, outcome := s.call(c)
		return outcome, outcome == trapOf(c.Text)
	case "assert_exception":
		_, outcome := s.call(c)
		return outcome, outcome == "uncaught exception"
	case "assert_invalid", "assert_malformed", "assert_unlinkable", "assert_uninstantiable":
		if c.ModuleType == "text" {
			return "skip: " + skipText, true
		}
		_, outcome := s.instantiate(c.Filename, "")
		// The runtime keeps such an instance: others may have its functions.
		want := "refused"
		if c.Type == "assert_uninstantiable" && c.Text == "out of bounds table access" {
			want = "ok"
		}
		return outcome, outcome == want
	case "register":
		return "ok", true // done with the module before it
	}
	s.t.Fatalf("line %d: unknown command %q", c.Line, c.Type)
	return "", false
}

func specDir(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("finding the runtime's module: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
}

// specTally counts what was run, and why something was not.
type specTally struct {
	mu        sync.Mutex
	scripts   int
	restored  int
	obstacles map[Obstacle]int
	run       map[string]int
	skipped   map[string]int
}

func TestSpecSuite(t *testing.T) {
	t.Parallel()
	dir := specDir(t)
	all := os.Getenv(specEnv) == "all"
	tally := &specTally{obstacles: map[Obstacle]int{}, run: map[string]int{}, skipped: map[string]int{}}
	t.Run("scripts", func(t *testing.T) {
		for _, suite := range specSuites {
			scripts, err := filepath.Glob(filepath.Join(dir, suite.name, "testdata", "*.json"))
			if err != nil || len(scripts) == 0 {
				t.Fatalf("no scripts of %s: %v", suite.name, err)
			}
			for _, script := range scripts {
				name := strings.TrimSuffix(filepath.Base(script), ".json")
				if !all && (!slices.Contains(specQuick, name) || underRace && (suite.name != "v2" || slices.Contains(specSlow, name))) {
					continue
				}
				engines := map[string]wazero.RuntimeConfig{"compiler": wazero.NewRuntimeConfigCompiler()}
				if all {
					engines["interpreter"] = wazero.NewRuntimeConfigInterpreter()
				}
				for engine, cfg := range engines {
					t.Run(suite.name+"/"+name+"/"+engine, func(t *testing.T) {
						t.Parallel()
						runSpecScript(t, script, suite.name+"/"+name, cfg.WithCoreFeatures(suite.features), tally)
					})
				}
			}
		}
	})
	for _, kind := range slices.Sorted(maps.Keys(tally.run)) {
		t.Logf("%-22s %6d", kind, tally.run[kind])
	}
	for _, why := range slices.Sorted(maps.Keys(tally.skipped)) {
		t.Logf("skipped: %s: %d", why, tally.skipped[why])
	}
	t.Logf("%d scripts; %d instances came from a snapshot", tally.scripts, tally.restored)
	for _, o := range slices.Sorted(maps.Keys(tally.obstacles)) {
		t.Logf("modules without a snapshot: %s: %d", o, tally.obstacles[o])
	}
	if tally.restored == 0 {
		t.Error("no instance came from a snapshot")
	}
	if all && tally.run["assert_return"] < 100_000 {
		t.Errorf("only %d assert_return were run", tally.run["assert_return"])
	}
}

func runSpecScript(t *testing.T, path, name string, cfg wazero.RuntimeConfig, tally *specTally) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var script struct{ Commands []specCommand }
	if err := json.Unmarshal(b, &script); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	plain := newSpecRun(t, filepath.Dir(path), cfg, specPlain)
	defer plain.runtime.Close(ctx)
	metered := newSpecRun(t, filepath.Dir(path), cfg, specMetered)
	defer metered.runtime.Close(ctx)
	restored := newSpecRun(t, filepath.Dir(path), cfg, specRestored)
	defer restored.runtime.Close(ctx)
	run, skipped := map[string]int{}, map[string]int{}
	for i := range script.Commands {
		c := &script.Commands[i]
		registered := ""
		if i+1 < len(script.Commands) && script.Commands[i+1].Type == "register" {
			registered = script.Commands[i+1].As
		}
		want, right := plain.command(c, registered)
		got, _ := metered.command(c, registered)
		again, _ := restored.command(c, registered)
		why, skip := strings.CutPrefix(got, "skip: ")
		if known := specSkips[fmt.Sprintf("%s:%d", name, c.Line)]; known != "" && got != want {
			why, skip = known, true
		}
		if skip {
			skipped[why]++
			continue
		}
		run[c.Type]++
		if !right {
			t.Errorf("line %d: %s: the plain module did not do what the script says: %s", c.Line, c.Type, want)
		}
		if got != want {
			t.Errorf("line %d: %s %s:\n got %s\nwant %s", c.Line, c.Type, c.Action.Field, got, want)
		}
		if again != want {
			t.Errorf("line %d: %s %s, from a snapshot:\n got %s\nwant %s", c.Line, c.Type, c.Action.Field, again, want)
		}
	}
	tally.mu.Lock()
	defer tally.mu.Unlock()
	tally.scripts++
	tally.restored += restored.restored
	for o, n := range restored.obstacles {
		if o != ObstacleNone {
			tally.obstacles[o] += n
		}
	}
	for k, n := range run {
		tally.run[k] += n
	}
	for k, n := range skipped {
		tally.skipped[k] += n
	}
}
