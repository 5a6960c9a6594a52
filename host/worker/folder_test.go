package worker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// settle looks until nothing is unsettled, and returns all changes.
func settle(t *testing.T, f *Folder) map[string]Change {
	t.Helper()
	all := map[string]Change{}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(settleTime / 5) {
		changes, again, err := f.Look()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			all[c.Name] = c
		}
		if !again {
			return all
		}
	}
	t.Fatal("the folder does not settle")
	return nil
}

func TestFolderTellsWhatChanged(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	f := NewFolder(dir, 1000)
	if got := settle(t, f); len(got) != 0 {
		t.Errorf("a folder that is not there: %v", got)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		write(t, filepath.Join(dir, fmt.Sprintf("w%d.wasm", i)), header)
	}
	write(t, filepath.Join(dir, "notes.txt"), "no worker")
	write(t, filepath.Join(dir, "half.wasm.part"), header)
	got := settle(t, f)
	if len(got) != 100 || got["w7"].Read == nil || got["w7"].Err != nil || got["w7"].Gone {
		t.Errorf("%d changes, w7: %+v", len(got), got["w7"])
	}
	if got := settle(t, f); len(got) != 0 {
		t.Errorf("with nothing new: %v", got)
	}

	w7 := filepath.Join(dir, "w7.wasm")
	write(t, w7, header+custom("x", "y"))
	write(t, filepath.Join(dir, "w8.wasm"), "MZ no module")
	if err := os.Remove(filepath.Join(dir, "w9.wasm")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "w6.toml"), "name = 'six'\nversion = '2'")
	first := got["w7"].Read.Digest
	got = settle(t, f)
	if len(got) != 4 || got["w7"].Read.Digest == first || got["w8"].Err == nil || !got["w9"].Gone || got["w6"].Read.Manifest.Name != "six" {
		t.Errorf("changes: %+v", got)
	}
	write(t, w7+".new", header)
	if err := os.Rename(w7+".new", w7); err != nil {
		t.Fatal(err)
	}
	if got = settle(t, f); len(got) != 1 || got["w7"].Read.Digest != first {
		t.Errorf("after a rename: %+v", got)
	}
}

func TestFolderFollowsLinks(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	a, b, link := filepath.Join(elsewhere, "a"), filepath.Join(elsewhere, "b"), filepath.Join(dir, "w.wasm")
	write(t, a, header)
	write(t, b, header+custom("x", "b"))
	if err := os.Symlink(a, link); err != nil {
		t.Skip("skipped: no symbolic links:", err)
	}
	f := NewFolder(dir, 1000)
	first := settle(t, f)["w"].Read
	if err := os.Symlink(b, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	second := settle(t, f)["w"].Read
	if first == nil || second == nil || first.Digest == second.Digest {
		t.Errorf("the link's target: %v, then %v", first, second)
	}
	if err := os.Remove(b); err != nil {
		t.Fatal(err)
	}
	if got := settle(t, f)["w"]; got.Err == nil {
		t.Errorf("a link to nothing: %+v", got)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if got := settle(t, f)["w"]; !got.Gone {
		t.Errorf("without the link: %+v", got)
	}
}

// A file that looks whole, but that its writer has not closed, is not read.
func TestFolderWaitsForTheWriter(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("skipped: only Linux tells who writes")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "w.wasm")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString(header); err != nil {
		t.Fatal(err)
	}
	if !beingWritten(path) {
		t.Skip("skipped: this file system has no leases")
	}
	f := NewFolder(dir, 1000)
	for begin := time.Now(); time.Since(begin) < 4*settleTime; {
		changes, again, err := f.Look()
		if len(changes) > 0 || !again || err != nil {
			t.Fatalf("half a file was read: %+v, %v", changes, err)
		}
	}
	if _, err := w.WriteString(custom("x", "the rest")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := settle(t, f)["w"]; got.Read == nil || len(got.Read.Wasm) <= len(header) {
		t.Errorf("the whole file: %+v", got)
	}
}

// However a file is replaced, what is read is one of its contents.
func TestFolderHammer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "w.wasm")
	whole := map[string]bool{}
	content := func(i int) string {
		return header + strings.Repeat(custom("x", strings.Repeat(string(rune('a'+i%8)), 100)), 50+i%8)
	}
	for i := range 8 {
		whole[Digest([]byte(content(i)), nil)] = true
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			if i%3 == 0 {
				write(t, path+".new", content(i))
				_ = os.Rename(path+".new", path)
			} else { // in place, in two halves
				w, err := os.Create(path)
				if err != nil {
					continue
				}
				c := content(i)
				_, _ = w.WriteString(c[:len(c)/2])
				time.Sleep(time.Millisecond)
				_, _ = w.WriteString(c[len(c)/2:])
				_ = w.Close()
			}
			time.Sleep(time.Duration(i%12) * 15 * time.Millisecond)
		}
	}()
	f := NewFolder(dir, 1<<20)
	read := 0
	Follow(ctx, []string{dir}, slog.New(slog.DiscardHandler), func() bool {
		changes, again, err := f.Look()
		if err != nil {
			t.Error(err)
		}
		for _, c := range changes {
			if c.Read == nil || !whole[c.Read.Digest] {
				t.Errorf("half a file was read: %+v", c.Err)
			}
			if read++; read == 5 {
				cancel()
			}
		}
		return again
	})
	<-done
}
