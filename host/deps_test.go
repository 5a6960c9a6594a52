package host_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Imports run one way:
//
//	cmd -> host -> host/* -> abi
//	guests -> sdk -> abi
//
// The tables below are that sentence spelt out. They are here and not in a
// linter's configuration, so that the plain test command holds them.

const module = "github.com/wasmhost/wasmhost"

// uses lists every package of the module with the packages of the module that
// it may import.
var uses = map[string][]string{
	"abi":      {},
	"abi/wire": {"abi"},
	"config":   {"abi", "config/cron"},

	"config/cron": {},

	"host": {"abi", "abi/wire", "config", "config/cron",
		"host/command", "host/command/ai", "host/command/orchestrator", "host/command/socket", "host/data", "host/data/sqlite", "host/engine", "host/metrics", "host/queue", "host/web", "host/worker"},
	"host/command":                   {"abi", "abi/wire"},
	"host/command/ai":                {"abi", "abi/wire", "host/command", "sdk/embed"}, // see leaf
	"host/command/orchestrator":      {"abi", "abi/wire", "host/command"},
	"host/command/socket":            {"abi", "abi/wire", "host/command"},
	"host/data":                      {"abi", "abi/wire"},
	"host/data/datatest":             {"abi", "abi/wire", "host/data"},
	"host/data/sqlite":               {"abi", "abi/wire", "host/data", "host/data/sqlite/internal/lite"},
	"host/data/sqlite/internal/lite": {},
	"host/engine":                    {"abi", "abi/wire", "host/engine/rewrite"},
	"host/engine/rewrite":            {"abi"},
	"host/metrics":                   {"abi"},
	"host/queue":                     {"abi", "abi/wire"},
	"host/web":                       {"abi"},
	"host/worker":                    {"abi", "abi/wire", "config/cron"},

	"sdk":              {"abi", "abi/wire"},
	"sdk/embed":        {"sdk/embed/internal/vec"}, // see leaf
	"sdk/sdktest":      {"abi", "abi/wire", "sdk"},
	"guests/archive":   {"abi", "abi/wire", "sdk"},
	"guests/embedding": {"abi", "abi/wire", "sdk", "sdk/embed"},
	"guests/inference": {"abi", "sdk"},
	"guests/training":  {"abi", "abi/wire", "sdk", "sdk/embed", "sdk/embed/lora"},

	"sdk/embed/internal/vec": {},
	"sdk/embed/lora":         {"sdk/embed", "sdk/embed/internal/vec"},

	// What the command line shows are the records of these packages; how rows
	// are reached and guests are run is the host's alone.
	"cmd/wasmhost":         {"abi", "abi/wire", "config", "host", "host/command", "host/command/socket", "host/metrics", "host/queue", "host/worker", "cmd/wasmhost/demo", "cmd/wasmhost/watch"},
	"cmd/wasmhost/crash":   {},
	"cmd/wasmhost/fixture": {"abi", "abi/wire"},
	"cmd/wasmhost/demo": {"abi", "config", "host", "host/command", "host/metrics", "host/queue", "host/worker", "cmd/wasmhost/watch",
		"sdk/embed"}, // holds the worker's vectors against native ones
	"cmd/wasmhost/watch": {"abi", "host/queue"},
}

// leaf is the one package below sdk that the host uses: the model that guests
// embed with, so that both give a text the same vector. It imports no package of
// the module that is not below itself, so nothing of the SDK comes with it: docs/RATIONALE.md.
const leaf = "sdk/embed"

// testUses lists what the tests of a package may import on top of that.
var testUses = map[string][]string{
	"abi":              {"abi/wire"},
	"guests/archive":   {"sdk/sdktest"},
	"guests/embedding": {"sdk/sdktest"},
	"guests/training":  {"sdk/sdktest"},
	"guests/inference": {"sdk/sdktest"},
	"sdk":              {"sdk/sdktest"},
	"host/data":        {"host/data/datatest"},

	// A worker must come to the same on the host that authors test with. What
	// runs here is not linked into the host.
	"host":             {"sdk", "sdk/embed", "sdk/sdktest", "host/testdata/history"},
	"host/data/sqlite": {"host/data/datatest"},

	// What is trained in a guest must be what is trained here.
	"cmd/wasmhost": {"sdk/embed", "sdk/embed/lora", "cmd/wasmhost/fixture"},

	"cmd/wasmhost/crash": {"abi", "cmd/wasmhost/fixture", "config", "host", "host/queue"}, // all else it knows is the binary and the files
}

// stdlibOnly are the packages that are compiled into guests, by any compiler
// that a guest's author may use, and so depend on nothing.
var stdlibOnly = []string{"abi", "abi/wire", "sdk", "sdk/embed", "sdk/embed/internal/vec", "sdk/embed/lora", "sdk/sdktest", "guests/archive", "guests/embedding", "guests/inference", "guests/training"}

// keptTo lists modules that one package hides from the rest, so that replacing
// one or mending a defect of one has one place.
var keptTo = []struct {
	path     string // and everything below it
	packages []string
}{
	{"github.com/tetratelabs/wazero", []string{"host/engine"}},
	{"modernc.org/sqlite/lib", []string{"host/data/sqlite", "host/data/sqlite/internal/lite"}},
	{"modernc.org/sqlite/vec", []string{"host/data/sqlite/internal/lite"}},
	{"modernc.org/libc", []string{"host/data/sqlite/internal/lite"}},
	{"github.com/riverqueue", []string{"host/queue"}},
	{"github.com/prometheus", []string{"host/metrics"}},
	{"github.com/knadh/koanf", []string{"config"}},
	{"github.com/spf13/cobra", []string{"cmd/wasmhost"}},
	{"github.com/robfig/cron", []string{"config/cron"}},
	{"github.com/fsnotify/fsnotify", []string{"host/worker"}},
	{"github.com/pelletier/go-toml", []string{"host/worker"}},
	{"aead.dev/minisign", []string{"host/worker"}},
}

// testKeptTo lists the packages whose tests may import what keptTo hides from
// them: they hold their results against it.
var testKeptTo = map[string]string{
	"host/engine/rewrite": "github.com/tetratelabs/wazero",
}

const rule = "imports run one way: cmd -> host -> host/* -> abi, and guests -> sdk -> abi; see host/deps_test.go"

// pkg is what `go list -json` tells of a package.
type pkg struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// breaches returns what is wrong with the imports of packages, a line each.
func breaches(packages []pkg) []string {
	var found []string
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		allowed, ok := uses[name]
		if !ok {
			found = append(found, fmt.Sprintf(
				"package %s is new: say in the table uses of host/deps_test.go what it may import (%s)", name, rule))
			continue
		}
		for _, path := range p.Imports {
			if why := refused(name, path, allowed); why != "" {
				found = append(found, why)
			} else if slices.Contains(stdlibOnly, name) && external(path) {
				found = append(found, fmt.Sprintf("%s imports %s: it is compiled into guests and uses the standard library only", name, path))
			}
		}
		allowed = append(slices.Clone(allowed), append(testUses[name], name)...)
		for _, path := range append(slices.Clone(p.TestImports), p.XTestImports...) {
			if kept := testKeptTo[name]; kept != "" && (path == kept || strings.HasPrefix(path, kept+"/")) {
				continue
			}
			if why := refused(name, path, allowed); why != "" {
				found = append(found, "a test of "+why)
			}
		}
	}
	return found
}

func refused(name, path string, allowed []string) string {
	if own, ok := strings.CutPrefix(path, module+"/"); ok && !slices.Contains(allowed, own) {
		return fmt.Sprintf("%s imports %s (%s)", name, own, rule)
	}
	for _, kept := range keptTo {
		if (path == kept.path || strings.HasPrefix(path, kept.path+"/")) && !slices.Contains(kept.packages, name) {
			return fmt.Sprintf("%s imports %s, which only %s may", name, path, strings.Join(kept.packages, " and "))
		}
	}
	return ""
}

// external says whether a path is of a module, ours excepted.
func external(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(path, module+"/")
}

func list(t *testing.T, env ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"this machine": nil,
		"a guest":      {"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}, // files that only a guest has
	} {
		packages := list(t, env...)
		if len(packages) == 0 {
			t.Fatalf("%s: go list found no packages", name)
		}
		for _, line := range breaches(packages) {
			t.Errorf("built for %s: %s", name, line)
		}
		// An entry that outlives its package would let another take its name.
		for listed := range uses {
			if !slices.ContainsFunc(packages, func(p pkg) bool { return p.ImportPath == module+"/"+listed }) {
				t.Errorf("built for %s: the table uses lists %s, which is no package", name, listed)
			}
		}
	}
}

// What the host has of the SDK is a leaf, and one package uses it.
func TestTheHostUsesOneLeafOfTheSDK(t *testing.T) {
	t.Parallel()
	outside := func(path string) bool { return !strings.HasPrefix(path, leaf+"/") }
	if slices.ContainsFunc(uses[leaf], outside) || !slices.Contains(stdlibOnly, leaf) {
		t.Errorf("%s may import %v: it is to depend on nothing but what is below it", leaf, uses[leaf])
	}
	for name, allowed := range uses {
		for _, path := range allowed {
			if strings.HasPrefix(name, "host") && strings.HasPrefix(path, "sdk") && (path != leaf || name != "host/command/ai") {
				t.Errorf("%s may import %s (%s)", name, path, rule)
			}
		}
	}
}

func TestBreachesAreFound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pkg  pkg
		want string // "" for none
	}{
		{pkg{ImportPath: "abi", Imports: []string{"fmt", "encoding/binary"}}, ""},
		{pkg{ImportPath: "abi", Imports: []string{"golang.org/x/sys/unix"}}, "standard library only"},
		{pkg{ImportPath: "abi/wire", TestImports: []string{"github.com/vmihailenco/msgpack/v5"}}, ""},
		{pkg{ImportPath: "abi", Imports: []string{module + "/abi/wire"}}, "abi imports abi/wire (imports run one way"},
		{pkg{ImportPath: "sdk", Imports: []string{module + "/host"}}, "sdk imports host ("},
		{pkg{ImportPath: "host", Imports: []string{module + "/sdk"}}, "host imports sdk ("},
		{pkg{ImportPath: "host/command/ai", Imports: []string{module + "/sdk/embed"}}, ""},
		{pkg{ImportPath: "host/command/ai", Imports: []string{module + "/sdk"}}, "host/command/ai imports sdk ("},
		{pkg{ImportPath: "host/command", Imports: []string{module + "/sdk/embed"}}, "host/command imports sdk/embed ("},
		{pkg{ImportPath: "host/queue", Imports: []string{module + "/host/data"}}, "host/queue imports host/data ("},
		{pkg{ImportPath: "host/worker", XTestImports: []string{module + "/host/worker"}}, ""},
		{pkg{ImportPath: "host/worker", XTestImports: []string{module + "/host/engine"}}, "a test of host/worker imports host/engine ("},
		{pkg{ImportPath: "host/data/sqlite", TestImports: []string{module + "/host/data/datatest"}}, ""},
		{pkg{ImportPath: "host/data/sqlite", Imports: []string{module + "/host/data/datatest"}}, "imports host/data/datatest ("},
		{pkg{ImportPath: "cmd/wasmhost", Imports: []string{module + "/host/engine"}}, "cmd/wasmhost imports host/engine ("},
		{pkg{ImportPath: "host", Imports: []string{"github.com/tetratelabs/wazero"}}, "which only host/engine may"},
		{pkg{ImportPath: "host/engine", Imports: []string{"github.com/tetratelabs/wazero/api"}}, ""},
		{pkg{ImportPath: "host/engine/rewrite", Imports: []string{"github.com/tetratelabs/wazero/api"}}, "which only host/engine may"},
		{pkg{ImportPath: "host/engine/rewrite", TestImports: []string{"github.com/tetratelabs/wazero/api"}}, ""},
		{pkg{ImportPath: "host/queue", Imports: []string{"modernc.org/sqlite"}}, ""},
		{pkg{ImportPath: "host/queue", TestImports: []string{"modernc.org/sqlite/lib"}}, "which only host/data/sqlite and"},
		{pkg{ImportPath: "host/queue", Imports: []string{"modernc.org/libc"}}, "which only host/data/sqlite/internal/lite may"},
		{pkg{ImportPath: "host/brandnew"}, "package host/brandnew is new"},
	} {
		p := test.pkg
		p.ImportPath = module + "/" + p.ImportPath
		got := strings.Join(breaches([]pkg{p}), "\n")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%+v:\n got %q\nwant %q", test.pkg, got, test.want)
		}
	}
}
