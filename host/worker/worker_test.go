package worker

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
)

const header = "\x00asm\x01\x00\x00\x00"

// custom is a custom section; everything here is shorter than 128 bytes, so a
// length is one byte.
func custom(name, content string) string {
	body := string(rune(len(name))) + name + content
	return "\x00" + string(rune(len(body))) + body
}

func TestScanListsModulesByName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b.wasm", "a.wasm", "notes.txt", ".hidden.wasm", "Upper.wasm"} {
		write(t, filepath.Join(dir, name), header)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.wasm"), 0o755); err != nil {
		t.Fatal(err)
	}
	entries, err := Scan(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name)
	}
	if diff := cmp.Diff([]string{"Upper", "a", "b"}, got); diff != "" {
		t.Error(diff)
	}
	if entries, err := Scan(filepath.Join(dir, "missing")); entries != nil || err != nil {
		t.Errorf("a folder that does not exist: %v, %v", entries, err)
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.wasm")
	write(t, path, header+custom("wasmhost.manifest", `{"name":"a","version":"1.2.3","requests":{"commands":["events/*"]}}`))
	f, err := Read(Entry{Name: "a", File: path}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	want := &abi.Manifest{Name: "a", Version: "1.2.3", Requests: abi.Requests{Commands: []string{"events/*"}}}
	if diff := cmp.Diff(want, f.Manifest); diff != "" {
		t.Error(diff)
	}
	if len(f.Digest) != 64 {
		t.Errorf("digest %q", f.Digest)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"a":                     {"", "not a Wasm module"},
		"b":                     {"garbage that is no module", "not a Wasm module"},
		"c":                     {header + "\x00\x7fshort", "the section at byte 8 reaches behind the end"},
		"d":                     {header + "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "reaches behind the end"},
		"e":                     {header + custom("wasmhost.manifest", `{"nam":"a"}`), `unknown field "nam"`},
		"f":                     {header + custom("wasmhost.manifest", `{} {}`), "bytes behind the object"},
		"g":                     {header + custom("wasmhost.manifest", ``), "manifest: EOF"},
		"h":                     {header + strings.Repeat(custom("x", strings.Repeat("y", 100)), 10), "more than the limit of 1000 bytes"},
		"UPPER":                 {header, "a worker's file is named"},
		strings.Repeat("x", 65): {header, "a worker's file is named"},
	} {
		path := filepath.Join(t.TempDir(), name+".wasm")
		write(t, path, c.content)
		_, err := Read(Entry{Name: name, File: path}, 1000)
		if !errors.Is(err, abi.InvalidModule) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
	if _, err := Read(Entry{Name: "dir", File: t.TempDir()}, 1000); !errors.Is(err, abi.InvalidModule) {
		t.Errorf("a folder: %v", err)
	}
}

// A gigabyte of zeros is refused by its size, without a look inside.
func TestReadRefusesAHugeFileUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "huge.wasm")
	write(t, path, "")
	if err := os.Truncate(path, 1<<30); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Read(Entry{Name: "huge", File: path}, 64<<20)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, abi.InvalidModule) || !strings.Contains(err.Error(), "more than the limit of 67108864 bytes") {
		t.Errorf("got %v", err)
	}
	if spent := after.TotalAlloc - before.TotalAlloc; spent > 1<<20 {
		t.Errorf("%d bytes were allocated for it", spent)
	}
}

func TestModuleWithoutManifest(t *testing.T) {
	t.Parallel()
	m, err := ReadManifest([]byte(header + custom("name", "x") + custom("wasmhost.manifesto", "{")))
	if m != nil || err != nil {
		t.Errorf("got %v, %v", m, err)
	}
}

func FuzzReadManifest(f *testing.F) {
	f.Add([]byte(header + custom("wasmhost.manifest", `{"name":"a"}`)))
	f.Add([]byte(header + "\x00\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := ReadManifest(b); m != nil && err != nil {
			t.Error("both a manifest and an error")
		}
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
