package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/host/command"
)

// buildGuest builds the archive worker as it is in this checkout.
func buildGuest(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "archive.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-o", out, "github.com/wasmhost/wasmhost/guests/archive")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the archive worker: %v\n%s", err, text)
	}
	return out
}

func TestRun(t *testing.T) {
	t.Parallel()
	guest := buildGuest(t)
	dir := filepath.Join(t.TempDir(), "demo folder")
	for _, test := range []struct{ rows, keep, archived, progress int }{
		{2550, 200, 2350, 23},
		{300, 0, 300, 3}, // the same folder again
		{50, 80, 0, 0},   // nothing to do
	} {
		var out, log bytes.Buffer
		s, err := Run(t.Context(), Options{
			Dir: dir, Guest: guest, Rows: test.rows, Keep: test.keep, Program: "bin/wasmhost", Out: &out, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatalf("%+v: %v\n%s\n%s", test, err, &out, &log)
		}
		if s.Rows != test.rows || s.Archived != int64(test.archived) || s.Kept != test.rows-test.archived || s.ProgressEvents != int64(test.progress) {
			t.Errorf("%+v: got %+v", test, s)
		}
		if s.Bill.WallMS <= 0 || s.Bill.PeakMemoryBytes == 0 {
			t.Errorf("%+v: the bill is empty: %+v", test, s.Bill)
		}
		for _, want := range []string{"byte for byte", "rows/s; guest", "bin/wasmhost --config '" + filepath.Join(dir, "wasmhost.toml") + "' tasks"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%+v: the report lacks %q:\n%s", test, want, &out)
			}
		}
	}
}

func TestRunWithoutAWorker(t *testing.T) {
	t.Parallel()
	noWasm := filepath.Join(t.TempDir(), "archive.wasm")
	put(t, noWasm, "this is no module")
	for guest, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.wasm"): "make build",
		noWasm:                                  "worker archive is refused",
	} {
		_, err := Run(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "d"), Guest: guest, Rows: 10, Keep: 1, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", guest, err, want)
		}
	}
}

func TestRunIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	guest := filepath.Join(t.TempDir(), "archive.wasm")
	put(t, guest, "never looked at")
	_, err := Run(ctx, Options{Dir: filepath.Join(t.TempDir(), "d"), Guest: guest, Rows: 10, Keep: 1, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestCheckEvents(t *testing.T) {
	t.Parallel()
	event := func(id int64, name string, archived, total int64) command.Event {
		data, err := json.Marshal(eventData{TaskID: "7", Collection: collection, Archived: archived, Total: total})
		if err != nil {
			t.Fatal(err)
		}
		return command.Event{ID: id, Time: time.Now(), Name: name, Worker: "archive", Task: "7", Data: data}
	}
	first, second := event(1, "archive:progress", 100, 250), event(2, "archive:progress", 200, 250)
	complete := event(3, "archive:complete", 250, 250)
	other := command.Event{ID: 9, Name: "archive:failed", Task: "6"}
	bad := complete
	bad.Data = json.RawMessage(`[1]`)
	tests := []struct {
		name   string
		events []command.Event
		want   string
	}{
		{"all", []command.Event{other, first, second, complete}, ""},
		{"one is missing", []command.Event{first, complete}, "there are 1 events archive:progress and 1 archive:complete, want 2 and 1"},
		{"one is doubled", []command.Event{first, first, second, complete}, "says"},
		{"not complete", []command.Event{first, second}, "want 2 and 1"},
		{"complete twice", []command.Event{first, second, complete, complete}, "want 2 and 1"},
		{"out of order", []command.Event{complete, first, second}, "came after archive:complete"},
		{"another number", []command.Event{first, second, event(3, "archive:complete", 249, 250)}, "Archived:249"},
		{"failed", []command.Event{first, second, event(3, "archive:failed", 250, 250)}, "has the name archive:failed"},
		{"another form", []command.Event{first, second, bad}, "another form"},
		{"none", nil, "there are 0 events"},
	}
	for _, tt := range tests {
		n, err := checkEvents(tt.events, "7", 250)
		var mismatch *Mismatch
		switch {
		case tt.want == "" && (err != nil || n != 2):
			t.Errorf("%s: got %d, %v; want 2", tt.name, n, err)
		case tt.want != "" && (!errors.As(err, &mismatch) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want a mismatch with %q", tt.name, err, tt.want)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 90000: "90,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{12: "12 bytes", 2048: "2 KiB", 3 << 19: "1.5 MiB", 53 << 20: "53 MiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}
