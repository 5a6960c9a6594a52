package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

// archiveGuest builds the archive worker: a guest of the usual size.
func archiveGuest(t testing.TB) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "archive.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", file, "../../guests/archive")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the archive guest: %v\n%s", err, out)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// BenchmarkSandbox measures what it takes to get a clean sandbox and an answer
// of its first call: started anew, made from the snapshot, or reset in place.
// rss counts pages that sandboxes share once for each, pss splits them.
func BenchmarkSandbox(b *testing.B) {
	for _, guest := range []struct {
		name string
		wasm func(testing.TB) []byte
	}{
		{"test", func(testing.TB) []byte { return guestWasm }},
		{"archive", archiveGuest},
	} {
		wasm := guest.wasm(b)
		for _, form := range []string{"plain", "snapshot", "reset"} {
			b.Run(guest.name+"/"+form, func(b *testing.B) {
				ctx := context.Background()
				isolation := PerTask
				if form == "plain" {
					isolation = PerWorker
				}
				e, err := New(ctx, Config{CacheDir: cacheDir})
				if err != nil {
					b.Fatal(err)
				}
				defer e.Close(ctx)
				m, err := e.Compile(ctx, "guest", wasm, ModuleConfig{Isolation: isolation})
				if err != nil {
					b.Fatal(err)
				}
				defer m.Close(ctx)
				if ok, why := m.Snapshot(); ok == (form == "plain") {
					b.Fatal("snapshot:", ok, why)
				}
				made := func() *Sandbox {
					s, err := m.newSandbox(ctx)
					if err != nil {
						b.Fatal(err)
					}
					return s
				}
				task := &abi.Task{ID: "1", Kind: "echo"}
				call := func(s *Sandbox) {
					// The archive worker refuses such a task, which is an answer too.
					if _, _, err := s.Run(ctx, task, &fakeEnv{}); s.broken {
						b.Fatal(err)
					}
				}
				if form == "reset" {
					s := made()
					defer s.close(ctx)
					for b.Loop() {
						call(s)
						if err := s.restore(); err != nil {
							b.Fatal(err)
						}
					}
				} else {
					for b.Loop() {
						s := made()
						call(s)
						s.close(ctx)
					}
				}
				reportMemory(b, func() func() {
					s := made()
					call(s)
					if form == "reset" {
						if err := s.restore(); err != nil {
							b.Fatal(err)
						}
					}
					return func() { s.close(ctx) }
				})
			})
		}
	}
}

// reportMemory adds what one of 50 sandboxes takes.
func reportMemory(b *testing.B, open func() (close func())) {
	const n = 50
	if runtime.GOOS != "linux" {
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	debug.FreeOSMemory()
	before := smaps(b)
	for range n {
		defer open()()
	}
	debug.FreeOSMemory()
	after := smaps(b)
	for _, k := range []string{"Rss", "Pss"} {
		b.ReportMetric(float64(after[k]-before[k])/n, strings.ToLower(k)+"-KB/sandbox")
	}
}

func smaps(b *testing.B) map[string]int {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		b.Fatal(err)
	}
	sizes := map[string]int{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[2] == "kB" {
			sizes[strings.TrimSuffix(f[0], ":")], _ = strconv.Atoi(f[1])
		}
	}
	return sizes
}
