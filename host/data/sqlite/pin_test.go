package sqlite

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// TestLibcIsTheOneSQLiteNames holds modernc.org/libc at the version that
// modernc.org/sqlite was translated against: Go takes the highest version any
// module asks for, and SQLite breaks with another one in ways no compiler
// sees.
func TestLibcIsTheOneSQLiteNames(t *testing.T) {
	t.Parallel()
	module := func(path string) (m struct{ Version, GoMod string }) {
		t.Helper()
		out, err := exec.Command("go", "list", "-m", "-json", path).Output()
		if err != nil {
			t.Fatalf("go list -m %s: %v", path, err)
		}
		if err := json.Unmarshal(out, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	mod, err := os.ReadFile(module("modernc.org/sqlite").GoMod)
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`(?m)^\s*(?:require\s+)?modernc\.org/libc (v\S+)`).FindSubmatch(mod)
	if named == nil {
		t.Fatal("the go.mod of modernc.org/sqlite names no modernc.org/libc")
	}
	if got := module("modernc.org/libc").Version; got != string(named[1]) {
		t.Errorf("modernc.org/libc is %s; modernc.org/sqlite wants %s: go get modernc.org/libc@%s", got, named[1], named[1])
	}
}
