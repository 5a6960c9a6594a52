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
	Dir       string       // the demo's folder
	Guests    string       // the folder of archive.wasm and embedding.wasm
	Rows      int          // messages to make, 1 or more
	Keep      int          // the newest of them, which stay in the primary
	Documents int          // to make, embed and ask, 1 or more
	Program   string       // how this program was called, for the commands to try next
	Out       io.Writer    // what happens, for people
	Terminal  bool         // Out is a terminal
	Log       *slog.Logger // the host's log
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
	Search         Search       `json:"search"`
}

// Run makes the demo's databases, archives, embeds, asks, checks and reports. It
// returns a [Mismatch] if what the databases, the events or the answers hold is not
// what it should be.
func Run(ctx context.Context, opts Options) (*Summary, error) {
	if opts.Rows < 1 || opts.Keep < 0 || opts.Documents < 1 {
		return nil, fmt.Errorf("%d rows of which %d are kept, %d documents: at least 1, 0 and 1 are needed", opts.Rows, opts.Keep, opts.Documents)
	}
	guests, err := readGuests(opts.Guests) // before anything is deleted for them
	if err != nil {
		return nil, err
	}
	r := newReport(opts.Out)
	r.line("wasmhost demo in %s\n", opts.Dir)
	f, err := prepare(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := install(f, guests); err != nil {
		return nil, err
	}
	texts, err := sentences()
	if err != nil {
		return nil, err
	}
	r.step("text", "%s sentences of Moby Dick and State of the Union addresses", thousands(int64(len(texts))))
	documents := spread(texts, opts.Documents)
	if err := makeDatabases(ctx, r, f, opts.Rows, texts, documents); err != nil {
		return nil, err
	}
	cfg, err := config.Load(config.Options{File: f.config})
	if err != nil {
		return nil, err
	}
	s := &Summary{Dir: opts.Dir, Rows: opts.Rows, Kept: min(opts.Keep, opts.Rows)}
	var archived, embedded []command.Event
	err = serve(ctx, r, cfg, opts, guests, func(h *host.Host) error {
		if err := archive(ctx, r, h, opts, s); err != nil {
			return err
		}
		if err := search(ctx, r, h, opts, &s.Search); err != nil {
			return err
		}
		var err error
		if archived, err = allEvents(ctx, h.State().Events, "archive:*"); err == nil {
			embedded, err = allEvents(ctx, h.State().Events, "embedding:*")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := checkArchive(ctx, r, f, s, archived, opts.Keep); err != nil {
		return nil, err
	}
	if err := checkSearch(ctx, r, f, &s.Search, embedded, documents); err != nil {
		return nil, err
	}
	r.line("  %-10s %*.2f s\n", "in all", textWidth+7, time.Since(r.began).Seconds())
	suggest(r, f, opts, s.Task)
	return s, nil
}

// checkArchive compares the databases and the events with what they should be.
func checkArchive(ctx context.Context, r *report, f files, s *Summary, events []command.Event, keep int) error {
	if err := verify(ctx, f, keep); err != nil {
		return fmt.Errorf("checking the databases: %w", err)
	}
	if want := int64(s.Rows - s.Kept); s.Archived != want {
		return &Mismatch{What: fmt.Sprintf("the worker says that it archived %d rows, want %d", s.Archived, want)}
	}
	var err error
	if s.ProgressEvents, err = checkEvents(events, s.Task, s.Archived); err != nil {
		return fmt.Errorf("checking the events: %w", err)
	}
	r.step("checked", "each of %s rows in exactly one database, byte for byte;", thousands(int64(s.Rows)))
	r.note("", "exactly the newest %s in the primary; %s progress events, 1 complete", thousands(int64(s.Kept)), thousands(s.ProgressEvents))
	return nil
}

// makeDatabases makes the primary, a copy of its messages to compare with, and an
// empty archive.
func makeDatabases(ctx context.Context, r *report, f files, rows int, texts, documents []string) error {
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
	if err := makeDocuments(ctx, f.primary, documents); err != nil {
		return err
	}
	r.step("documents", "%s sentences in a table of the primary, with an index of their words", thousands(int64(len(documents))))
	return nil
}

// serve starts a host, has f use it, and stops it.
func serve(ctx context.Context, r *report, cfg *config.Config, opts Options, guests guests, f func(*host.Host) error) (err error) {
	r.line("  %-10s compiling %s of Wasm, which is kept for the next time", "host", size(guests.size()))
	h, err := host.New(ctx, cfg, opts.Log)
	if err != nil {
		return fmt.Errorf("starting the host: %w", err)
	}
	defer func() {
		if closing := h.Close(); err == nil && closing != nil {
			err = fmt.Errorf("closing the host: %w", closing)
		}
	}()
	for _, w := range h.Workers() {
		if w.State != worker.Ready {
			return fmt.Errorf("worker %s is %s: %s", w.Name, w.State, w.Reason)
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
		return fmt.Errorf("running the host: %w", err)
	}
	return f(h)
}

// task submits a task, shows its progress, and returns how it ended, which is
// well.
func task(ctx context.Context, r *report, h *host.Host, opts Options, worker, unit string, payload map[string]any) (id string, record *queue.Record, err error) {
	text, err := json.Marshal(payload)
	if err != nil {
		return "", nil, fmt.Errorf("making the task: %w", err)
	}
	id, _, err = h.State().Submit(ctx, queue.Submission{Worker: worker, Kind: worker, Payload: text})
	if err != nil {
		return "", nil, fmt.Errorf("submitting the task: %w", err)
	}
	r.line("  %-10s %s %s", "task "+id, worker, text)
	record, err = watch.Task(ctx, h.State().Queue, id, watch.Options{Out: opts.Out, Terminal: opts.Terminal, Unit: unit})
	if err != nil {
		return "", nil, fmt.Errorf("waiting for the task: %w", err)
	}
	if record.State != queue.Completed {
		return "", nil, fmt.Errorf("task %s is %s%s", id, record.State, watch.Detail(record))
	}
	return id, record, nil
}

// archive lets the worker do its task.
func archive(ctx context.Context, r *report, h *host.Host, opts Options, s *Summary) error {
	began := time.Now()
	id, record, err := task(ctx, r, h, opts, "archive", "rows", map[string]any{"collection": collection, "keep": opts.Keep})
	if err != nil {
		return err
	}
	s.Task, s.Seconds = id, time.Since(began).Seconds()
	var summary eventData
	if err := errors.Join(json.Unmarshal(record.Result, &summary), json.Unmarshal(record.Bill, &s.Bill)); err != nil {
		return fmt.Errorf("reading the task's result %s and bill %s: %w", record.Result, record.Bill, err)
	}
	s.Archived = summary.Archived
	s.RowsPerSecond = float64(s.Archived) / s.Seconds
	r.step("archived", "%s rows", thousands(s.Archived))
	r.note("", "%s rows/s; %s", thousands(int64(s.RowsPerSecond)), shares(s.Bill))
	r.note("", "peak memory of the sandbox %s, %s calls into the host, %s commands",
		size(int64(s.Bill.PeakMemoryBytes)), thousands(s.Bill.HostCalls), thousands(s.Bill.Commands))
	r.last = time.Now()
	return nil
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
		{`submit embedding --kind embedding/query '{"text":"peace at sea","k":3,"columns":["content"],"keywords":"documents_words"}' --wait`, "ask the documents, by meaning and by words"},
	} {
		r.line("  %s %s", program, s.args)
		r.line("      %s", s.what)
	}
}
