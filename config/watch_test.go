package config

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// watching watches a configuration file. Its ticks are the test's.
type watching struct {
	t    *testing.T
	file string
	tick chan time.Time
	told chan any // *Config or error
	at   time.Time
}

func watchFile(t *testing.T, text string) (*watching, *Config) {
	t.Helper()
	w := &watching{t: t, file: filepath.Join(t.TempDir(), "wasmhost.toml"), tick: make(chan time.Time), told: make(chan any, 1), at: time.Now()}
	w.write(text)
	c, err := Load(Options{File: w.file})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.watch(ctx, w.tick, func(next *Config, err error) {
			if err != nil {
				w.told <- err
			} else {
				w.told <- next
			}
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w, c
}

// write replaces the file by another, a second later than the one before.
func (w *watching) write(text string) {
	w.t.Helper()
	aside := w.file + ".new"
	if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.at = w.at.Add(time.Second)
	if err := os.Chtimes(aside, w.at, w.at); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(aside, w.file); err != nil {
		w.t.Fatal(err)
	}
}

// next is what is told within three ticks, nil for nothing.
func (w *watching) next() any {
	for range 3 {
		w.tick <- time.Now()
	}
	select {
	case v := <-w.told:
		return v
	default:
		return nil
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	w, first := watchFile(t, "[settings.a]\nn = 1\n")
	if got := w.next(); got != nil {
		t.Errorf("without a change: %v", got)
	}
	w.write("[settings.a]\nn = 2\n")
	second, ok := w.next().(*Config)
	if !ok {
		t.Fatal("the change was not told")
	}
	if v, _ := second.Setting("a.n"); v != int64(2) {
		t.Errorf("a.n = %v", v)
	}
	if got := Changes(first, second); !slices.Equal(got, []string{"settings.a.n"}) {
		t.Errorf("changes: %v", got)
	}
	w.write("# a comment more\n[settings.a]\nn = 2\n")
	if got := w.next(); got != nil {
		t.Errorf("a comment was told: %v", got)
	}
	w.write("[settings.a\nn = 3\n")
	if _, ok := w.next().(error); !ok {
		t.Error("a broken file was not told")
	}
	if got := w.next(); got != nil {
		t.Errorf("a broken file was told again: %v", got)
	}
	if err := os.Remove(w.file); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.next().(error); !ok {
		t.Error("a missing file was not told")
	}
	w.write("[settings.a]\nn = 3\n")
	if third, ok := w.next().(*Config); !ok || !slices.Equal(Changes(second, third), []string{"settings.a.n"}) {
		t.Error("a file that came back was not told")
	}
}

func TestChangesOfSecretsAndEntries(t *testing.T) {
	t.Parallel()
	load := func(text string) *Config {
		c, err := Load(Options{File: write(t, text)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	got := Changes(load("[settings]\ntoken = 'a'\n[workers.w]\nfuel = 5\n"), load("[settings]\ntoken = 'b'\n"))
	if !slices.Contains(got, "settings.token") || !slices.Contains(got, "workers.w.fuel") || !slices.IsSorted(got) {
		t.Errorf("got %v", got)
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"settings.a.b": true, "workers.w.grants.commands": true, "workers.w.grants.data.primary": true, "workers.w.handles.source": true,
		"workers.w.on": true, "workers.w.limits.rows": true,
		"workers.w.fuel": false, "workers.w.limits.rows_and_more": false, "workers.w.concurrency": false, "web.listen": false, "workers.grants": false,
	} {
		if got := Live(key); got != want {
			t.Errorf("%s: %t", key, got)
		}
	}
}
