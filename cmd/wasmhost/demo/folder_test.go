package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/host"
)

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func TestPrepareRefusesForeignFolders(t *testing.T) {
	t.Parallel()
	for name, marker := range map[string]string{"no marker": "", "another program's marker": "something else"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			precious := filepath.Join(dir, "primary.db") // a name that the demo would delete
			put(t, precious, "precious")
			if marker != "" {
				put(t, filepath.Join(dir, markerName), marker)
			}
			_, err := prepare(dir)
			if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--dir") {
				t.Errorf("got %v, want a refusal that names %s and --dir", err, dir)
			}
			if b, err := os.ReadFile(precious); string(b) != "precious" {
				t.Errorf("the file is %q, %v after the refusal", b, err)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, "precious")
	if _, err := prepare(file); err == nil {
		t.Error("a file was taken for a folder")
	}
}

func TestPrepareClearsItsOwnFilesOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "demo")
	f, err := prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	own := []string{f.primary, f.primary + "-wal", f.archive, f.archive + "-shm", f.original, f.config, f.guest("archive"), f.guest("embedding"), filepath.Join(f.state, "host.db")}
	others := []string{filepath.Join(dir, "notes.txt"), filepath.Join(f.workers, "mine.wasm"), filepath.Join(f.state, "compiled", "x")}
	for _, name := range append(own, others...) {
		put(t, name, "x")
	}
	for range 2 { // the second time there is nothing to delete
		if _, err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		for _, name := range own {
			if exists(name) {
				t.Errorf("%s is still there", name)
			}
		}
		for _, name := range others {
			if !exists(name) {
				t.Errorf("%s is gone, and was not the demo's", name)
			}
		}
	}
}

func TestPrepareLeavesARunningHostAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := prepare(dir)
	if err != nil {
		t.Fatal(err)
	}
	put(t, f.primary, "in use")
	put(t, filepath.Join(f.state, "host.db"), "in use")
	unlock, err := host.LockState(f.state)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := prepare(dir); err == nil || !strings.Contains(err.Error(), "a host is running") {
		t.Errorf("got %v, want a refusal", err)
	}
	if !exists(f.primary) {
		t.Error("the running host's database is gone")
	}
}

func TestShellQuote(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"bin/wasmhost": "bin/wasmhost", "": "''", "my dir": "'my dir'", "it's": `'it'\''s'`, "$(x)": "'$(x)'", "Küche": "'Küche'",
	} {
		if got := shellQuote(word); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", word, got, want)
		}
	}
}
