package demo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/host/command"
)

// build builds a package of this checkout without the race detector.
func build(t *testing.T, pkg string, args, env []string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, args...), pkg)...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", pkg, err, text)
	}
	return out
}

// TestRun runs the real program: compiling the worker in this process takes
// twenty seconds under the race detector.
func TestRun(t *testing.T) {
	t.Parallel()
	guests := t.TempDir()
	for _, name := range guestNames {
		wasm := build(t, "github.com/wasmhost/wasmhost/guests/"+name, []string{"-buildmode=c-shared"}, []string{"GOOS=wasip1", "GOARCH=wasm"})
		if err := os.Rename(wasm, filepath.Join(guests, name+".wasm")); err != nil {
			t.Fatal(err)
		}
	}
	program := build(t, "github.com/wasmhost/wasmhost/cmd/wasmhost", nil, nil)
	dir := filepath.Join(t.TempDir(), "demo folder")
	for _, test := range []struct{ rows, keep, documents, all, archived, kept, progress, pages string }{
		{"2550", "200", "1100", "2,550", "2,350", "200", "23", "3"},
		{"300", "0", "500", "300", "300", "0", "3", "1"}, // the same folder again, and everything
		{"50", "80", "1", "50", "0", "50", "0", "1"},     // nothing to archive
	} {
		out, err := exec.Command(program, "demo", "--dir", dir, "--guests", guests, "--rows", test.rows, "--keep", test.keep, "--documents", test.documents).CombinedOutput()
		if err != nil {
			t.Fatalf("%+v: %v\n%s", test, err, out)
		}
		for _, want := range []string{
			"primary    " + test.all + " chat messages in primary.db", "archived   " + test.archived + " rows", "rows/s; guest",
			"each of " + test.all + " rows in exactly one database, byte for byte",
			"exactly the newest " + test.kept + " in the primary; " + test.progress + " progress events, 1 complete",
			`asked      "a huge beast of the ocean"`, "native code finds the same 3 nearest to each question; " + test.pages + " progress events, 1 complete",
			program + " --config '" + filepath.Join(dir, "wasmhost.toml") + "' tasks",
		} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%+v: the report lacks %q:\n%s", test, want, out)
			}
		}
		if err := verify(t.Context(), filesIn(dir), mustAtoi(t, test.keep)); err != nil {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

func mustAtoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// putGuests makes a folder with something for each worker.
func putGuests(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range guestNames {
		put(t, filepath.Join(dir, name+".wasm"), text)
	}
	return dir
}

func TestRunWithoutAWorker(t *testing.T) {
	t.Parallel()
	for guests, want := range map[string]string{
		t.TempDir():                       "make build",
		putGuests(t, "this is no module"): "worker archive is refused",
	} {
		_, err := Run(t.Context(), Options{Dir: filepath.Join(t.TempDir(), "d"), Guests: guests, Rows: 10, Keep: 1, Documents: 1, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", guests, err, want)
		}
	}
}

func TestRunIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Run(ctx, Options{Dir: filepath.Join(t.TempDir(), "d"), Guests: putGuests(t, "never looked at"), Rows: 10, Keep: 1, Documents: 1, Out: io.Discard, Log: slog.New(slog.DiscardHandler)})
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
