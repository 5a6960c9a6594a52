package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/watch"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/metrics"
	"github.com/wasmhost/wasmhost/host/queue"
	"github.com/wasmhost/wasmhost/host/worker"
)

// Options say what to show.
type Options struct {
	Dir      string       // the demo's folder
	Guest    string       // archive.wasm
	Rows     int          // messages to make, 1 or more
	Keep     int          // the newest of them, which stay in the primary
	Program  string       // how this program was called, for the commands to try next
	Out      io.Writer    // what happens, for people
	Terminal bool         // Out is a terminal
	Log      *slog.Logger // the host's log
}

// Summary is what the demo found.
type Summary struct {
	Dir            string       `json:"dir"`
	Task           string       `json:"task"`
	Rows           int          `json:"rows"`
	Archived       int64        `json:"archived"`
	Kept           int          `json:"kept"`
	Seconds        float64      `json:"seconds"` // from submission to completion
	RowsPerSecond  float64      `json:"rows_per_second"`
	ProgressEvents int64        `json:"progress_events"`
	Bill           metrics.Bill `json:"bill"`
}

// Run makes the demo's databases, archives, checks and reports. It returns a
// [Mismatch] if what the databases or the events hold is not what it should
// be.
func Run(ctx context.Context, opts Options) (*Summary, error) {
	if opts.Rows < 1 || opts.Keep < 0 {
		return nil, fmt.Errorf("%d rows of which %d are kept: at least 1 and 0 are needed", opts.Rows, opts.Keep)
	}
	wasm, err := os.ReadFile(opts.Guest) // before anything is deleted for it
	if err != nil {
		return nil, fmt.Errorf("reading the archive worker: %w; build it with: make build", err)
	}
	r := newReport(opts.Out)
	r.line("wasmhost demo in %s\n", opts.Dir)
	f, err := prepare(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := install(f, wasm); err != nil {
		return nil, err
	}
	if err := makeDatabases(ctx, r, f, opts.Rows); err != nil {
		return nil, err
	}
	cfg, err := config.Load(config.Options{File: f.config})
	if err != nil {
		return nil, err
	}
	s := &Summary{Dir: opts.Dir, Rows: opts.Rows, Kept: min(opts.Keep, opts.Rows)}
	events, err := archive(ctx, r, cfg, opts, int64(len(wasm)), s)
	if err != nil {
		return nil, err
	}
	r.note("", "%s rows/s; %s", thousands(int64(s.RowsPerSecond)), shares(s.Bill))
	r.note("", "peak memory of the sandbox %s, %s calls into the host, %s commands",
		size(int64(s.Bill.PeakMemoryBytes)), thousands(s.Bill.HostCalls), thousands(s.Bill.Commands))
	r.last = time.Now()

	if err := verify(ctx, f, opts.Keep); err != nil {
		return nil, fmt.Errorf("checking the databases: %w", err)
	}
	if want := int64(opts.Rows - s.Kept); s.Archived != want {
		return nil, &Mismatch{What: fmt.Sprintf("the worker says that it archived %d rows, want %d", s.Archived, want)}
	}
	if s.ProgressEvents, err = checkEvents(events, s.Task, s.Archived); err != nil {
		return nil, fmt.Errorf("checking the events: %w", err)
	}
	r.step("checked", "each of %s rows in exactly one database, byte for byte;", thousands(int64(opts.Rows)))
	r.note("", "exactly the newest %s in the primary; %s progress events, 1 complete", thousands(int64(s.Kept)), thousands(s.ProgressEvents))
	r.line("  %-10s %*.2f s\n", "in all", textWidth+7, time.Since(r.began).Seconds())
	suggest(r, f, opts, s.Task)
	return s, nil
}

// makeDatabases makes the primary, a copy of it to compare with, and an empty
// archive.
func makeDatabases(ctx context.Context, r *report, f files, rows int) error {
	texts, err := sentences()
	if err != nil {
		return err
	}
	r.step("text", "%s sentences of Moby Dick and State of the Union addresses", thousands(int64(len(texts))))
	if err := makeDatabase(ctx, f.primary, rows, newGenerator(texts)); err != nil {
		return err
	}
	info, err := os.Stat(f.primary)
	if err != nil {
		return fmt.Errorf("looking at the primary: %w", err)
	}
	r.step("primary", "%s chat messages in %s, %s", thousands(int64(rows)), filepath.Base(f.primary), size(info.Size()))
	if err := makeDatabase(ctx, f.archive, 0, nil); err != nil {
		return err
	}
	if err := copyFile(f.original, f.primary); err != nil {
		return fmt.Errorf("copying the primary: %w", err)
	}
	r.step("archive", "%s, empty; and %s, a copy of the primary", filepath.Base(f.archive), filepath.Base(f.original))
	return nil
}

// archive starts a host, lets the worker do its task, and stops the host.
func archive(ctx context.Context, r *report, cfg *config.Config, opts Options, guestSize int64, s *Summary) (events []command.Event, err error) {
	r.line("  %-10s compiling %s of Wasm, which is kept for the next time", "host", size(guestSize))
	h, err := host.New(ctx, cfg, opts.Log)
	if err != nil {
		return nil, fmt.Errorf("starting the host: %w", err)
	}
	defer func() {
		if closing := h.Close(); err == nil && closing != nil {
			err = fmt.Errorf("closing the host: %w", closing)
		}
	}()
	for _, w := range h.Workers() {
		if w.State != worker.Ready {
			return nil, fmt.Errorf("worker %s is %s: %s", w.Name, w.State, w.Reason)
		}
		r.step("", "worker %s is ready, sha256 %.12s…", w.Name, w.Digest)
	}

	serving, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- h.Run(serving) }()
	defer func() {
		stop()
		if stopping := <-stopped; err == nil && stopping != nil {
			err = fmt.Errorf("running the host: %w", stopping)
		}
	}()
	select {
	case <-h.Ready():
	case err := <-stopped:
		stopped <- nil
		return nil, fmt.Errorf("running the host: %w", err)
	}

	payload, err := json.Marshal(map[string]any{"collection": collection, "keep": opts.Keep})
	if err != nil {
		return nil, fmt.Errorf("making the task: %w", err)
	}
	began := time.Now()
	s.Task, _, err = h.State().Submit(ctx, queue.Submission{Worker: "archive", Kind: "archive", Payload: payload})
	if err != nil {
		return nil, fmt.Errorf("submitting the task: %w", err)
	}
	r.line("  %-10s archive %s", "task "+s.Task, payload)
	record, err := watch.Task(ctx, h.State().Queue, s.Task, watch.Options{Out: opts.Out, Terminal: opts.Terminal, Unit: "rows"})
	if err != nil {
		return nil, fmt.Errorf("waiting for the task: %w", err)
	}
	s.Seconds = time.Since(began).Seconds()
	if record.State != queue.Completed {
		return nil, fmt.Errorf("task %s is %s%s", s.Task, record.State, watch.Detail(record))
	}
	var summary eventData
	if err := errors.Join(json.Unmarshal(record.Result, &summary), json.Unmarshal(record.Bill, &s.Bill)); err != nil {
		return nil, fmt.Errorf("reading the task's result %s and bill %s: %w", record.Result, record.Bill, err)
	}
	s.Archived = summary.Archived
	s.RowsPerSecond = float64(s.Archived) / s.Seconds
	r.step("archived", "%s rows", thousands(s.Archived))
	return allEvents(ctx, h.State().Events)
}

// suggest prints commands to go on with.
func suggest(r *report, f files, opts Options, task string) {
	program := shellQuote(opts.Program) + " --config " + shellQuote(f.config)
	r.line("What to try next:")
	for _, s := range []struct{ args, what string }{
		{"tasks", "the task that has just run"},
		{"tasks show " + task, "its result and its bill"},
		{"events --pattern archive:complete", "what it told at the end"},
		{"config show", "what is set, and where"},
		{"run", "serve workers, until ctrl-C; and meanwhile, in another terminal:"},
		{fmt.Sprintf(`submit archive '{"collection":"%s","keep":%d}' --wait`, collection, opts.Keep/2), "archive some more"},
	} {
		r.line("  %s %s", program, s.args)
		r.line("      %s", s.what)
	}
}
